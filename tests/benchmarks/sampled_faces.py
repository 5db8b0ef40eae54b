"""The table of docs/evidence/sampled-faces.md: one network, trained on made faces alone, tested on real ones.

    python -m tests.benchmarks.sampled_faces ../shared/data made
    python -m tests.benchmarks.sampled_faces ../shared/data made "all changes" --count 24000 --epochs 6

The folder of data holds faces_train.npz, faces_dev.npz and human_dev.npz; what lies in the other folder already is used
again. Names of rows choose among them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from mlbench.contracts.samples import Samples
from mlbench.data.sources import TestSet
from mlbench.evaluation.metrics import figures
from mlbench.export.artifacts import answers
from mlbench.faces.landmarks import Landmarks
from mlbench.system.progress import Silent

_OFF = {"shape": 0.0, "turn": 0.0, "expression": 0.0, "cover": 0.0, "light": 0.0}

#: What is varied, and the strengths of `mlbench faces vary`, if it is varied; of two sources each makes up half.
ROWS: dict[str, tuple[list[str], dict[str, float] | None]] = {
    "samples as they are": (["sampled"], None),
    "expression": (["sampled"], _OFF | {"expression": 0.4}),
    "shape": (["sampled"], _OFF | {"shape": 0.7}),
    "turn": (["sampled"], _OFF | {"turn": 0.7}),
    "cover": (["sampled"], _OFF | {"cover": 0.25}),
    "light": (["sampled"], _OFF | {"light": 0.7}),
    "rotation": (["sampled"], _OFF | {"rotation": 10.0}),
    "all changes": (["sampled"], {}),
    "all changes and rotation": (["sampled"], {"rotation": 10.0}),
    "real texture": (["congress"], {}),
    "real texture and rotation": (["congress"], {"rotation": 10.0}),
    "samples and real texture": (["sampled", "congress"], {}),
}

_TRAINING = (
    "train --model examples.compact:compact --task landmarks --compute bfloat16 --seed 7 --optimizer muon",
    "--loss absolute --rate 4e-3 --augment-strength 0.5 --train-threads 1",
)

#: What is shown: test set, its subset, metric and unit.
_SHOWN = (
    ("congress", "", "mae", "px"),
    ("faces_dev", "", "nme", "%"),
    ("human_dev", "", "nme", "%"),
    ("human_dev:human", "", "nme", "%"),
    ("human_dev:human", "frontal", "nme", "%"),
)


def main() -> None:
    """Make the faces, train on them, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []])
    parser.add_argument("--count", type=int, default=6000, help="variations to train on")
    parser.add_argument("--epochs", type=int, default=8)
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    made(given.out / "congress.npz", "join", given.data / "faces_train.npz", "--source=congress_voteview")
    tests = tested_on(given.out / "congress.npz", given.data)
    headings = [
        f"{test}{f' ({part})' * bool(part)}: {metric.upper()}, {unit}" for test, part, metric, unit in _SHOWN
    ]
    print("| trained on |", " | ".join(headings), "|")
    print("|---" * (1 + len(_SHOWN)) + "|")
    for name in given.rows or ROWS:
        model = trained(faces(name, given.out, given.count), given.epochs)
        print(f"| {name} |", " | ".join(errors(model, tests)), "|", flush=True)


def faces(name: str, folder: Path, count: int) -> Path:
    """The file of a row's faces: of samples as many as are varied, and a fifth more for validation and test."""
    sources, strengths = ROWS[name]
    drawn = made(folder / f"sampled-{count}.npz", "sample", f"--count={round(1.2347 * count)}")
    if strengths is None:
        return drawn
    start = {"sampled": drawn, "congress": folder / "congress.npz"}
    told = [f"--count={count // len(sources)}", *(f"--{key}={value:g}" for key, value in strengths.items())]
    stem = f"{name.replace(' ', '-')}-{count}"
    parts = [made(folder / f"{stem}-{one}.npz", "vary", start[one], "--alone", *told) for one in sources]
    return parts[0] if len(parts) == 1 else made(folder / f"{stem}.npz", "join", *parts)


def made(path: Path, *words: str | Path) -> Path:
    """A file that a command of `mlbench faces` writes, unless it is there."""
    if not path.exists():
        mlbench("faces", *map(str, words), f"--out={path}")
    return path


def trained(path: Path, epochs: int) -> Path:
    """The network that learnt from a file of faces, as a file."""
    model = path.with_name(f"{path.stem}-{epochs}.tflite")
    if not model.exists():
        words = " ".join(_TRAINING).split()
        mlbench(*words, f"--data={path}", f"--epochs={epochs}", f"--out={model}")
    return model


def mlbench(*words: str) -> None:
    """Run a command; what it says goes to stderr."""
    started = [sys.executable, "-c", "from mlbench.cli import main; main()", *words]
    subprocess.run(started, check=True, stdout=sys.stderr)


def tested_on(portraits: Path, data: Path) -> dict[str, Samples]:
    """Real faces by name."""
    human = data / "human_dev.npz"
    sets = [TestSet.parse(str(one)) for one in (portraits, data / "faces_dev.npz", human, f"{human}:human")]
    return {one.name: one.load(Landmarks(), Silent()) for one in sets}


def errors(model: Path, tests: dict[str, Samples]) -> list[str]:
    """The figures of `_SHOWN`."""
    task = Landmarks()
    answered = {name: task.answers(answers(model, samples)) for name, samples in tests.items()}
    found = []
    for name, part, metric, unit in _SHOWN:
        samples = tests[name]
        rows = task.subsets(samples)[part] if part else np.full(len(samples), True)
        points = [
            {key: values[rows] for key, values in of.items()} for of in (answered[name], samples.targets)
        ]
        value = figures(task, *points)[metric]
        found.append(f"{100 * value:.2f}" if unit == "%" else f"{value:.3f}")
    return found


if __name__ == "__main__":
    main()
