"""How a network is trained or tuned: options, validated, and which of them decide the weights."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlbench.training.accelerators import Accelerator


class TrainingOptions(BaseModel):
    """How a network is trained (the defaults are the paper's, section 4.2: Adam, batch 120, 300 epochs, seed 7)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Annotated[int, Field(ge=0, le=10_000)] = 300  # 0: a trained network as it is
    batch: Annotated[int, Field(ge=1, le=4096)] = 120
    seed: int = 7
    rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    augment: bool = True
    patience: Annotated[int, Field(ge=0)] = 0  # epochs without a better validation error; 0: never stop early
    teacher_share: Annotated[float, Field(ge=0, le=1)] = 0.5  # of the loss, where there is a teacher
    compute: Literal["float32", "bfloat16"] = "float32"
    threads: Annotated[int, Field(ge=0)] = 0  # 0: all cores
    accelerator: Accelerator = "auto"  # auto: a GPU, where TensorFlow sees one
    optimizer: Literal["adam", "muon"] = "adam"
    loss: str = ""  # of the task's; none: its first
    augment_strength: Annotated[float, Field(ge=0, le=2)] = 1.0  # of the usual extents
    vary: tuple[Literal["shift", "turn", "flip", "light"], ...] = ()  # images, beside what the task does

    def deciding(self) -> dict[str, Any]:
        """The options that decide the weights, for keys of the cache."""
        hardware = {"threads", "accelerator"}
        return self.model_dump(exclude=hardware if self.vary else hardware | {"vary"})


class TuningOptions(TrainingOptions):
    """How a compressed network is tuned: as it is trained, with a teacher."""

    sampled: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # drawn by the task, added to the data
    teacher: str = ""  # name of a finished baseline; none: the one that is compressed

    def deciding(self) -> dict[str, Any]:
        """The options that decide the weights, for keys of the cache."""
        decided = super().deciding()
        if not self.teacher_share:
            del decided["teacher"]
        return decided
