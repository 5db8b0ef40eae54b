"""From a compressed network to the file that ships."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from mlbench.compression import Compressed
from mlbench.contracts import Variant
from mlbench.errors import UsageError
from mlbench.faces.dataset import Faces
from mlbench.files import deflated_size, file_sha256, write_atomically
from mlbench.records import Artifact

#: Raised when a change of the code changes the files that equal networks give.
EXPORT_VERSION = 1


def export(
    compressed: Compressed,
    variant: Variant,
    chain: str,
    calibration: Faces,
    folder: Path,
    *,
    name: str = "",
    frozen_graph: bool = False,
) -> Artifact:
    """Write a network as `.tflite` into a folder, from the cache where it was converted before.

    Args:
        compressed: the network and how it is to be written.
        variant: what it came from.
        chain: how it was compressed, as text.
        calibration: faces of the training split: they check the file and calibrate int8.
        folder: where the file goes.
        name: of the file, without its ending; by default from variant and chain.
        frozen_graph: whether to write the paper's `.pb` too.

    Raises:
        UsageError: the converter failed, ran out of memory, or its file does not compute what the network does.
    """
    name = name or f"{variant.name}-{re.sub(r'[^A-Za-z0-9]+', '-', chain).strip('-')}"
    kept = compressed.folder / f"{compressed.export.precision}-{EXPORT_VERSION}.tflite"
    notes = kept.with_suffix(".json")
    graph = kept.with_suffix(".pb") if frozen_graph else None
    if not notes.exists() or (graph and not graph.exists()):
        result = _convert_in_process(compressed, kept, calibration, graph)
        result |= {"sha256": file_sha256(kept), "deflated_bytes": deflated_size(kept)}
        with write_atomically(notes) as part:
            part.write_text(json.dumps(result), encoding="utf-8")
    target = folder / f"{name}.tflite"
    for source, copy in ((kept, target), *([(graph, target.with_suffix(".pb"))] if graph else [])):
        _place(source, copy)
    last, facts = compressed.stages[-1], json.loads(notes.read_text(encoding="utf-8"))
    return Artifact(
        id=f"{variant.name} · {chain}",
        variant=variant.name,
        chain=chain,
        path=target.name,
        sha256=facts["sha256"],
        file_bytes=target.stat().st_size,
        deflated_bytes=facts["deflated_bytes"],
        parameters=last.parameters,
        macs=last.macs,
        precision=compressed.export.precision,
        export_error=facts["export_error"],
    )


def _place(source: Path, target: Path) -> None:
    """The same file in a second place: a link where the file system has one, else a copy."""
    with write_atomically(target) as part:
        try:
            part.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, part)


def _convert_in_process(
    compressed: Compressed, out: Path, calibration: Faces, graph: Path | None
) -> dict[str, float | int | str]:
    with tempfile.TemporaryDirectory(prefix="mlbench-") as scratch:
        crops, job = Path(scratch, "crops.npy"), Path(scratch, "job.json")
        np.save(crops, calibration.images[:500], allow_pickle=False)
        job.write_text(
            json.dumps(
                {
                    "network": str(compressed.folder),
                    "out": str(out),
                    "crops": str(crops),
                    "precision": compressed.export.precision,
                    "sparse": compressed.export.sparse,
                    "frozen_graph": str(graph) if graph else None,
                }
            ),
            encoding="utf-8",
        )
        command = [sys.executable, "-m", "mlbench.converter", str(job)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        why = (
            "it was killed, probably out of memory"
            if done.returncode == -9
            else (done.stderr.strip() or "no output")
        )
        message = f"The conversion to {out.name} failed ({why.splitlines()[-1]}): free memory and run again."
        raise UsageError(message)
    result: dict[str, float | int | str] = json.loads(lines[-1])
    if "error" in result:
        raise UsageError(str(result["error"]))
    return result
