"""From a compressed network to the file that ships."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from mlbench.compression.stages import Compressed
from mlbench.contracts import Samples
from mlbench.export.written import file_of, written
from mlbench.records import Artifact
from mlbench.system.files import write_atomically


def export(
    compressed: Compressed,
    network: str,
    chain: str,
    calibration: Samples,
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
        calibration: samples of the training split: they check the file and calibrate int8.
        folder: where the file goes.
        name: of the file, without its ending; by default from network and chain.
        frozen_graph: whether to write the paper's `.pb` too.

    Raises:
        UsageError: the converter failed, ran out of memory, or its file does not compute what the network does.
    """
    name = name or f"{network}-{re.sub(r'[^A-Za-z0-9]+', '-', chain).strip('-')}"
    kept = file_of(compressed.folder, compressed.export)
    graph = kept.with_suffix(".pb") if frozen_graph else None
    facts = written(compressed.folder, compressed.export, calibration, graph)
    target = folder / f"{name}.tflite"
    for source, copy in ((kept, target), *([(graph, target.with_suffix(".pb"))] if graph else [])):
        _place(source, copy)
    last = compressed.stages[-1]
    return Artifact(
        id=f"{network} · {chain}",
        variant=network,
        chain=chain,
        path=target.name,
        sha256=facts.sha256,
        file_bytes=facts.file_bytes,
        deflated_bytes=facts.deflated_bytes,
        parameters=last.parameters,
        macs=last.macs,
        precision=compressed.export.precision,
        export_error=facts.export_error,
    )


def _place(source: Path, target: Path) -> None:
    """A copy, not a link: what is done to the user's file must not reach the cache."""
    with write_atomically(target) as part:
        shutil.copyfile(source, part)
