"""From a compressed network to the file that ships."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from mlbench.compression.stages import ChainSetup, Compressed
from mlbench.contracts import Task
from mlbench.export.artifacts import answers
from mlbench.export.notes import Notes, with_notes
from mlbench.export.written import file_of, written
from mlbench.records import Artifact
from mlbench.system.files import deflated_size, file_sha256, write_atomically

#: Validation samples at most that a file's settings are chosen by.
_ASKED = 4000


def export(
    compressed: Compressed,
    network: str,
    chain: str,
    setup: ChainSetup,
    folder: Path,
    *,
    name: str = "",
    frozen_graph: bool = False,
) -> Artifact:
    """Write a network as `.tflite` into a folder, from the cache where it was converted before.

    Args:
        compressed: the network and how it is to be written.
        network: name of what it came from.
        chain: how it was compressed, as text.
        setup: with the samples: those of the training split check the file and calibrate int8, those of validation
            choose the settings that the file holds.
        folder: where the file goes.
        name: of the file, without its ending; by default from network and chain.
        frozen_graph: whether to write the paper's `.pb` too.

    Raises:
        UsageError: the converter failed, ran out of memory, or its file does not compute what the network does.
    """
    name = name or f"{network}-{re.sub(r'[^A-Za-z0-9]+', '-', chain).strip('-')}"
    kept = file_of(compressed.folder, compressed.export)
    graph = kept.with_suffix(".pb") if frozen_graph else None
    facts = written(compressed.folder, compressed.export, setup.calibration(), graph)
    target = folder / f"{name}.tflite"
    settings = _settings(kept, setup)
    notes = Notes(settings, setup.material.samples.margins)
    for source, copy in ((kept, target), *([(graph, target.with_suffix(".pb"))] if graph else [])):
        _place(source, copy)
    if notes.text():
        with write_atomically(target) as part:
            part.write_bytes(with_notes(kept.read_bytes(), notes))
    last = compressed.stages[-1]
    return Artifact(
        id=f"{network} · {chain}",
        variant=network,
        chain=chain,
        path=target.name,
        sha256=file_sha256(target),
        file_bytes=target.stat().st_size,
        deflated_bytes=deflated_size(target) if notes.text() else facts.deflated_bytes,
        parameters=last.parameters,
        macs=last.macs,
        precision=compressed.export.precision,
        export_error=facts.export_error,
        settings=settings,
    )


def _settings(file: Path, setup: ChainSetup) -> dict[str, float]:
    """What the task chooses by a file's answers on validation samples; those are asked for where it chooses at all."""
    task = setup.material.task
    if type(task).settings is Task.settings:
        return {}
    validation = setup.material.validation.spread(_ASKED)
    return task.settings(answers(file, validation), validation.targets)


def _place(source: Path, target: Path) -> None:
    """A copy, not a link: what is done to the user's file must not reach the cache."""
    with write_atomically(target) as part:
        shutil.copyfile(source, part)
