"""Where networks come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tf_keras

#: Shapes of one sample's inputs or outputs, by name.
Shapes = Mapping[str, tuple[int, ...]]


class NetworkSource(ABC):
    """Where untrained networks of one kind come from."""

    name: str
    summary: str

    @abstractmethod
    def build(self, inputs: Shapes, outputs: Shapes, seed: int) -> tf_keras.Model:
        """An untrained network; equal seeds give equal networks.

        Args:
            inputs: shapes that the samples have after encoding.
            outputs: shapes that the task asks for.
            seed: of every random number.

        Raises:
            UsageError: there is no such network for these shapes.
        """

    @abstractmethod
    def key(self) -> Any:
        """JSON values that change whenever `build` would give another network."""
