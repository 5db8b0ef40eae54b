"""What defines a network: a `Variant`."""

from __future__ import annotations

from dataclasses import dataclass

from mlbench.faces.dataset import CROP, LANDMARKS
from mlbench.records import Layer


@dataclass(frozen=True)
class Block:
    """A convolution (VALID padding, stride 1) with ReLU, optionally followed by a 2×2 max-pool."""

    filters: int
    kernel: int
    pool: bool


@dataclass(frozen=True)
class Variant:
    """Definition of a landmark network: grey crop in, 136 pixel coordinates out (paper, section 3).

    A variant of your own is five lines::

        TINY = Variant("tiny", "half the filters",
                       blocks=(Block(16, 3, True), Block(16, 2, True), Block(32, 2, True)),
                       dense=(200, 100))
    """

    name: str
    summary: str
    blocks: tuple[Block, ...]
    dense: tuple[int, ...] = (1000, 500)
    size: int = CROP

    def layers(self) -> list[Layer]:
        """Every layer with its output shape, parameters and multiply-accumulates, in order."""
        side, channels, rows = self.size, 1, []
        for number, block in enumerate(self.blocks, 1):
            side -= block.kernel - 1
            weights = block.kernel**2 * channels * block.filters
            rows.append(
                Layer(
                    name=f"conv{number}",
                    kind="conv",
                    output=(side, side, block.filters),
                    parameters=weights + block.filters,
                    macs=weights * side * side,
                )
            )
            channels = block.filters
            if block.pool:
                side //= 2
                rows.append(
                    Layer(
                        name=f"pool{number}", kind="pool", output=(side, side, channels), parameters=0, macs=0
                    )
                )
        inputs = side * side * channels
        rows.append(Layer(name="flatten", kind="flatten", output=(inputs,), parameters=0, macs=0))
        for number, units in enumerate((*self.dense, 2 * LANDMARKS), 1):
            rows.append(
                Layer(
                    name=f"dense{number}",
                    kind="dense",
                    output=(units,),
                    parameters=(inputs + 1) * units,
                    macs=inputs * units,
                )
            )
            inputs = units
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
        shapes = [layer.output for layer in self.layers() if layer.kind in ("conv", "pool")]
        return shapes[-1]
