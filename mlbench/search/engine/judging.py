"""The last step of a job: its file, and what that errs on the validation split."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mlbench import plugins
from mlbench.compression.stages import ChainSetup, Compressed
from mlbench.evaluation.metrics import figures
from mlbench.export.artifacts import answers
from mlbench.export.written import EXPORT_VERSION, file_of, written
from mlbench.system.cache import one_at_a_time
from mlbench.system.files import key_of, write_atomically


@cache
def judged_name() -> str:
    """The file that holds the judgement of a network, beside it; another one where files are written otherwise."""
    writers = [plugins.identity(one) for one in plugins.usable("precisions")[0].values()]
    return f"judged-{key_of(EXPORT_VERSION, writers)[:8]}.json"


class Judgement(BaseModel):
    """Figures of a written file.

    Attributes:
        metrics: on the validation split, by name.
        file_bytes: of the file.
        deflated_bytes: of the file, deflated.
        parameters: weights and biases.
        macs: multiply-accumulates per inference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: dict[str, float]
    file_bytes: int
    deflated_bytes: int
    parameters: int
    macs: int


def judged(compressed: Compressed, setup: ChainSetup) -> Judgement:
    """The figures of a network's file, which is written where it is missing.

    Raises:
        UsageError: the file cannot be written, or does not answer as the network does.
    """
    kept = compressed.folder / judged_name()
    if not kept.exists():
        with one_at_a_time(compressed.folder, setup.progress.say):
            if not kept.exists():
                found = _judged(compressed, setup)
                with write_atomically(kept) as part:
                    part.write_text(found.model_dump_json(), encoding="utf-8")
    return read(kept)


def read(path: Path) -> Judgement:
    """A judgement that was kept."""
    return Judgement.model_validate_json(path.read_text(encoding="utf-8"))


def _judged(compressed: Compressed, setup: ChainSetup) -> Judgement:
    facts = written(compressed.folder, compressed.export, setup.calibration())
    task, validation = setup.material.task, setup.material.validation
    outputs = answers(file_of(compressed.folder, compressed.export), validation)
    last = compressed.stages[-1]
    return Judgement(
        metrics=figures(task, task.answers(outputs), validation.targets),
        file_bytes=facts.file_bytes,
        deflated_bytes=facts.deflated_bytes,
        parameters=last.parameters,
        macs=last.macs,
    )
