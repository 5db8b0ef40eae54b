"""Where networks come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tf_keras

#: Shapes of one sample's inputs or outputs, by name.
Shapes = Mapping[str, tuple[int, ...]]

#: The same with None for sizes that the samples decide.
OpenShapes = Mapping[str, tuple[int | None, ...]]


class NetworkSource(ABC):
    """Where networks of one kind come from.

    Attributes:
        name: as in tables and in names of files.
        summary: in one line.
        origin: the file or function that it was taken from, as it was named; none for plug-ins.
        trained: whether its networks have weights that are the baseline as they are: nothing is done to them before
            training, and no training is needed.
        limits: bytes that a file of its networks may have where no budget is given, by what sets the limit.
    """

    name: str
    summary: str
    origin: str = ""
    trained: bool = False
    limits: Mapping[str, float] = MappingProxyType({})

    @abstractmethod
    def build(self, inputs: Shapes, outputs: Shapes, seed: int) -> tf_keras.Model:
        """A network to be trained, or a trained one; equal seeds give equal networks.

        Args:
            inputs: shapes that the samples have after encoding.
            outputs: shapes that the task asks for.
            seed: of every random number.

        Raises:
            UsageError: there is no such network for these shapes.
        """

    def ends(self, inputs: Shapes, outputs: Shapes) -> tuple[OpenShapes, OpenShapes] | None:
        """Shapes of a network's inputs and outputs, where they are known before it is built; else None.

        Args:
            inputs: as of `build`.
            outputs: likewise.

        Raises:
            UsageError: there is no such network for these shapes.
        """
        return None

    @abstractmethod
    def key(self) -> Any:
        """JSON values that change whenever `build` would give another network."""

    def warnings(self) -> list[str]:
        """What the reader of the figures must know of its networks."""
        return []
