"""Networks for the samples of a task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlbench.contracts import NetworkSource, Samples, Task, Variant
from mlbench.data.fitting import require_fit
from mlbench.networks.facts import require_network_fits
from mlbench.system.quiet import quiet_tensorflow

if TYPE_CHECKING:
    import tf_keras


def build(source: NetworkSource, task: Task, samples: Samples, seed: int) -> tf_keras.Model:
    """A network for samples of a task, as its source gives it.

    Raises:
        UsageError: the source has none for such samples, or one that does not fit them.
    """
    quiet_tensorflow()
    network = source.build(_shapes(samples), task.outputs(samples), seed)
    require_network_fits(network, task, samples, _subject(source))
    return network


def require_buildable(sources: Iterable[NetworkSource], task: Task, samples: Samples, seed: int) -> None:
    """Refuse networks that samples do not fit, by what is known without building them, and then by building them.

    Variants are not built: they are for whatever samples they take, and bring no value to another range.

    Raises:
        UsageError: see `build`.
    """
    sources = list(sources)
    for source in sources:
        if ends := source.ends(_shapes(samples), task.outputs(samples)):
            require_fit(samples, *ends, task, _subject(source))
    for source in sources:
        if not isinstance(source, Variant):
            build(source, task, samples, seed)


def _shapes(samples: Samples) -> dict[str, tuple[int, ...]]:
    return {name: encoding.shape for name, encoding in samples.encodings.items()}


def _subject(source: NetworkSource) -> str:
    return f"The network {source.name}"


def start_from_prior(network: tf_keras.Model, prior: dict[str, npt.NDArray[np.float32]]) -> None:
    """Let the last layers of an untrained network answer what is usual, so that training starts from there.

    Args:
        network: a layer with a bias gives each of its outputs.
        prior: biases in the order of the outputs; without any, nothing changes.
    """
    for output, values in zip(network.output_names, prior.values(), strict=False):
        bias = getattr(network.get_layer(output), "bias", None)
        if bias is not None and bias.shape == values.shape:
            bias.assign(values)
