"""Networks that are defined by their convolutions and dense layers."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlbench.contracts.network import NetworkSource, Shapes
from mlbench.errors import UsageError
from mlbench.records import Layer
from mlbench.system.quiet import quiet_tensorflow

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True)
class Block:
    """A convolution (VALID padding, stride 1) with ReLU, optionally followed by a 2×2 max-pool."""

    filters: int
    kernel: int
    pool: bool


@dataclass(frozen=True)
class Variant(NetworkSource):
    """Convolutions, then dense layers, on one image: as in the paper (section 3), for any task.

    Of a task with several outputs, each has a last dense layer of its own, which is called as it is.

    A variant of your own is five lines::

        TINY = Variant("tiny", "half the filters",
                       blocks=(Block(16, 3, True), Block(16, 2, True), Block(32, 2, True)),
                       dense=(200, 100))

    Attributes:
        name: as on the command line.
        summary: in one line.
        blocks: convolutions in order.
        dense: units of the hidden dense layers.
        shape: height, width and channels that it is meant for; None: as the samples have.
        outputs: numbers that its first output answers; None: as the task asks.
        limits: see `NetworkSource`.
    """

    name: str
    summary: str
    blocks: tuple[Block, ...]
    dense: tuple[int, ...] = (1000, 500)
    shape: tuple[int, int, int] | None = None
    outputs: int | None = None
    limits: Mapping[str, float] = field(default_factory=dict, hash=False)

    def build(self, inputs: Shapes, outputs: Shapes, seed: int) -> tf_keras.Model:
        """See `NetworkSource.build`."""
        return _built(self, inputs, outputs, seed)

    def ends(self, inputs: Shapes, outputs: Shapes) -> tuple[Shapes, Shapes]:
        """See `NetworkSource.ends`."""
        name, shape, sizes = _ends(self, inputs, outputs)
        return {name: shape}, {output: (size,) for output, size in sizes.items()}

    def key(self) -> Any:
        """See `NetworkSource.key`."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "limits"}

    def layers(self, shape: tuple[int, int, int] | None = None, outputs: int | None = None) -> list[Layer]:
        """Every layer with its output shape, parameters and multiply-accumulates, in order.

        Args:
            shape: of the image; by default the one that the variant is meant for.
            outputs: numbers that it answers; likewise.

        Raises:
            ValueError: neither is known.
        """
        shape, outputs = shape or self.shape, outputs or self.outputs
        if shape is None or outputs is None:
            message = f"{self.name} is for images of any size: say which"
            raise ValueError(message)
        (height, width, channels), rows = shape, list[Layer]()
        for number, block in enumerate(self.blocks, 1):
            height, width = height - block.kernel + 1, width - block.kernel + 1
            weights = block.kernel**2 * channels * block.filters
            channels = block.filters
            map_shape = (height, width, channels)
            parameters, macs = weights + channels, weights * height * width
            rows.append(_layer(f"conv{number}", "conv", map_shape, parameters, macs))
            if block.pool:
                height, width = height // 2, width // 2
                rows.append(_layer(f"pool{number}", "pool", (height, width, channels)))
        size = height * width * channels
        rows.append(_layer("flatten", "flatten", (size,)))
        for number, units in enumerate((*self.dense, outputs), 1):
            rows.append(_layer(f"dense{number}", "dense", (units,), (size + 1) * units, size * units))
            size = units
        return rows

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(layer.parameters for layer in self.layers())

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, convolutions and dense layers."""
        return sum(layer.macs for layer in self.layers())

    @property
    def feature_map(self) -> tuple[int, ...]:
        """Shape [height, width, channels] before the flatten layer."""
        return [layer.output for layer in self.layers() if layer.kind in ("conv", "pool")][-1]


def _layer(name: str, kind: str, output: tuple[int, ...], parameters: int = 0, macs: int = 0) -> Layer:
    return Layer(name=name, kind=kind, output=output, parameters=parameters, macs=macs)


def _built(variant: Variant, inputs: Shapes, outputs: Shapes, seed: int) -> tf_keras.Model:
    """The untrained network of a variant: one image [batch, height, width, channels] -> [batch, n] for each output.

    Every kernel is drawn by Glorot's rule from a seed of its own, so equal seeds give equal networks.

    Raises:
        UsageError: the samples are not one image each, or of another size than the variant is meant for.
    """
    quiet_tensorflow()
    import tf_keras

    name, shape, sizes = _ends(variant, inputs, outputs)
    layers = tf_keras.layers
    called = re.sub(r"[^\w.-]+", "_", variant.name, flags=re.ASCII)  # as scopes of TensorFlow may be
    seeds = iter(range(seed * 1000, seed * 1000 + 100))

    def kernel() -> tf_keras.initializers.Initializer:
        return tf_keras.initializers.GlorotUniform(seed=next(seeds))

    stack = [layers.InputLayer(shape, name=name)]
    for number, block in enumerate(variant.blocks, 1):
        conv = layers.Conv2D(
            block.filters, block.kernel, activation="relu", kernel_initializer=kernel(), name=f"conv{number}"
        )
        stack.append(conv)
        if block.pool:
            stack.append(layers.MaxPool2D(2, name=f"pool{number}"))
    stack.append(layers.Flatten(name="flatten"))
    for number, units in enumerate(variant.dense, 1):
        stack.append(
            layers.Dense(units, activation="relu", kernel_initializer=kernel(), name=f"dense{number}")
        )
    if len(sizes) == 1:
        last = f"dense{len(variant.dense) + 1}"
        stack += [layers.Dense(size, kernel_initializer=kernel(), name=last) for size in sizes.values()]
        return tf_keras.Sequential(stack, name=called)
    trunk = tf_keras.Sequential(stack)
    answers = [
        layers.Dense(size, kernel_initializer=kernel(), name=output)(trunk.output)
        for output, size in sizes.items()
    ]
    return tf_keras.Model(trunk.input, answers, name=called)


def _ends(variant: Variant, inputs: Shapes, outputs: Shapes) -> tuple[str, tuple[int, ...], dict[str, int]]:
    """Name and shape of the image, and how many numbers each output answers."""
    if len(inputs) != 1 or len(next(iter(inputs.values()))) != 3:
        told = ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in inputs.items())
        message = f"{variant.name} takes one image; the samples have {told}: use another network."
        raise UsageError(message)
    name, shape = next(iter(inputs.items()))
    sizes = {output: math.prod(one) for output, one in outputs.items()}
    size = next(iter(sizes.values()))
    if shape != (variant.shape or shape) or size != (variant.outputs or size):
        wanted = f"{'×'.join(map(str, variant.shape or shape))} and gives {variant.outputs or size} numbers"
        message = f"{variant.name} takes {wanted}; the samples have {'×'.join(map(str, shape))} and {size}."
        raise UsageError(message)
    if any(min(layer.output) < 1 for layer in variant.layers((shape[0], shape[1], shape[2]), size)):
        message = (
            f"{variant.name} leaves nothing of an image of {shape[0]}×{shape[1]}: use fewer blocks or pools."
        )
        raise UsageError(message)
    return name, shape, sizes
