"""Parts of a run by themselves: training alone, compressing alone, measuring files that are there."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlbench import __version__
from mlbench.compression.chain import Chain
from mlbench.compression.delivery import export
from mlbench.compression.stages import ChainSetup, compress
from mlbench.contracts import NetworkSource, Progress, Samples, Task
from mlbench.data.fitting import doubts_of_samples
from mlbench.data.reading import told as inputs_told
from mlbench.data.sources import TestSet
from mlbench.errors import UsageError
from mlbench.evaluation.metrics import facts_of
from mlbench.export.artifacts import artifact_of, described, require_fitting, runnable
from mlbench.export.notes import notes_of
from mlbench.records import Artifact, Record, write_record
from mlbench.runs.made import TrainedBaseline, WrittenFile
from mlbench.runs.measuring import Measuring, measure, now
from mlbench.runs.notes import by_kind, listed
from mlbench.runs.pipeline import Finished, told, trained
from mlbench.runs.plan import Making, require_own_names
from mlbench.system import environment
from mlbench.system.files import key_of, require_suffix, require_writable
from mlbench.training.baselines import Material, Trained
from mlbench.training.doubts import learnt_nothing, slow_arithmetic

#: Samples that are drawn to test files on where none are given.
_DRAWN = 500


def train_only(
    network: NetworkSource, making: Making, out: Path | None, frozen_graph: bool, progress: Progress
) -> TrainedBaseline:
    """Train a baseline into the cache and, where `out` is given, write its file.

    Raises:
        UsageError: bad input.
    """
    if out is not None:
        _require_network_file(out)
    told(slow_arithmetic(making.training), progress)
    used, metric = making.used(), making.source.task.primary
    material = _material(network, making, used, progress)
    setup = ChainSetup(material, making.tuning, progress)
    baseline = trained(network, (), making.training, setup, used[0])
    return TrainedBaseline(
        network=network.name,
        baseline=baseline.folder.name,
        folder=str(baseline.folder),
        reused=baseline.reused,
        epochs=len(baseline.history) - 1,
        best_epoch=baseline.best.epoch,
        seconds=sum(epoch.seconds for epoch in baseline.history),
        metric=facts_of(making.source.task).primary,
        validation=baseline.best.validation[metric.name],
        warnings=tuple(learnt_nothing(network.name, baseline, metric, making.training.rate)),
        file=None if out is None else compress_only(network, Chain(()), making, out, frozen_graph, progress),
    )


def compress_only(
    network: NetworkSource, chain: Chain, making: Making, out: Path, frozen_graph: bool, progress: Progress
) -> WrittenFile:
    """Compress a baseline and write its file to `out`, without measuring.

    Raises:
        UsageError: bad input, or the compression was refused.
    """
    _require_network_file(out)
    told(slow_arithmetic(making.training, making.tuning), progress)
    used, metric = making.used(), making.source.task.primary
    material = _material(network, making, used, progress)
    setup = ChainSetup(material, making.tuning, progress)
    baseline = trained(network, (chain,), making.training, setup, used[0])
    told(learnt_nothing(network.name, baseline, metric, making.training.rate), progress)
    compressed = compress(baseline, chain, setup)
    artifact = export(
        compressed,
        network.name,
        str(chain),
        setup,
        out.parent,
        name=out.stem,
        frozen_graph=frozen_graph,
    )
    return WrittenFile(
        path=str(out.parent / artifact.path),
        file_bytes=artifact.file_bytes,
        parameters=artifact.parameters,
        macs=artifact.macs,
        metric=facts_of(making.source.task).primary,
        validation=compressed.stages[-1].validation,
    )


def _material(
    network: NetworkSource, making: Making, used: Sequence[Trained | None], progress: Progress
) -> Material:
    """What is learnt from; what is odd about it is told."""
    material = making.material(used, progress, networks=(network,))
    told(doubts_of_samples(material.samples, material.split, material.task), progress)
    return material


def _require_network_file(out: Path) -> None:
    """Check where a network's file shall go before hours of work, not after."""
    require_suffix(out, ".tflite")
    require_writable(out)


def measure_files(
    files: Sequence[Path],
    task: Task | None,
    tests: Sequence[TestSet],
    measuring: Measuring,
    out: Path,
    command: tuple[str, ...],
    progress: Progress,
) -> Finished:
    """Measure `.tflite` files side by side; the first is the baseline of the differences.

    Args:
        files: to measure.
        task: of the test sets; None: inputs are random and nothing is tested.
        tests: by default samples that the task draws.
        measuring: how.
        out: folder for results.
        command: that was given.
        progress: shows how far it is.

    Raises:
        UsageError: the first file does not run or fit the samples, one cannot be read, or other bad input.
    """
    require_own_names(tests, {})
    require_writable(out / "record.json")
    runners = measuring.runners()
    artifacts = _told_apart([artifact_of(files[0]), *(described(path) for path in files[1:])])
    sets = _sets(task, tests, notes_of(files[0]).margins, measuring.seed, progress)
    _require_fitting(files[0], task, sets)
    configuration = {"files": [a.sha256 for a in artifacts], "measuring": measuring.configuration()}
    prints = {name: samples.fingerprint for name, samples in sets.items()}
    folder = out / f"measure-{key_of(configuration, prints)[:8]}"
    progress.say(f"Results will be in {folder}.")
    faults = _faults(artifacts[1:], task, sets)
    findings = measure(artifacts, folder, task, sets, measuring, runners, progress, faults)
    record = Record(
        mlbench_version=__version__,
        created=now(),
        command=command,
        configuration=configuration,
        environment=environment.machine() | environment.software(),
        **findings.with_warnings(
            [*_notes(task, tests), *_numbered(sets)]
            if task
            else [*_notes(task, tests), *_peculiar(artifacts, faults)]
        ),
    )
    write_record(record, folder / "record.json")
    return Finished(record, folder)


def _require_fitting(path: Path, task: Task | None, sets: dict[str, Samples]) -> None:
    """Check that a file runs here, and fits all test sets."""
    if task is None:
        runnable(path)
    else:
        for samples in sets.values():
            require_fitting(path, task, samples)


def _faults(artifacts: list[Artifact], task: Task | None, sets: dict[str, Samples]) -> dict[str, str]:
    """Why files cannot be measured at all, by the artifact's name."""
    found = {}
    for artifact in artifacts:
        try:
            _require_fitting(Path(artifact.path), task, sets)
        except UsageError as error:
            found[artifact.id] = str(error)
    return found


def _sets(
    task: Task | None,
    tests: Sequence[TestSet],
    margins: Mapping[str, float],
    seed: int,
    progress: Progress,
) -> dict[str, Samples]:
    if task is None:
        if tests:
            message = "--data needs --task: say what the samples are of."
            raise UsageError(message)
        return {}
    given = {test.name: test.load(task, progress) for test in tests}
    for line in dict.fromkeys(line for samples in given.values() for line in inputs_told(samples)):
        progress.say(line)
    return given or {"sampled": task.sample_cut(margins, _DRAWN, seed, "test")}


def _notes(task: Task | None, tests: Sequence[TestSet]) -> list[str]:
    if task is None:
        return [
            "Measured on random inputs: sizes, memory and latency alone; give --task and --data for errors."
        ]
    return [] if tests else [f"Tested on {task.drawn}: give --data with real ones."]


def _numbered(sets: Mapping[str, Samples]) -> list[str]:
    """How classes that have names were numbered: a file of a network does not say its own order."""
    return [
        f"Classes of {test} are numbered in alphabetical order, {', '.join(names[:5])}{', …' * (len(names) > 5)} "
        "from 0: a network trained on more classes, or in another order, is scored wrongly; give class numbers then."
        for test, samples in sets.items()
        for names in samples.classes.values()
    ]


def _peculiar(artifacts: list[Artifact], faults: dict[str, str]) -> Iterator[str]:
    """What of the files that were measured makes their figures mean something else than one may think."""
    ends = {one.id: runnable(Path(one.path)) for one in artifacts if one.id not in faults}
    first = ends[artifacts[0].id]
    left = {name: ", ".join(port.name for port in one.inputs if port.open) for name, one in ends.items()}
    for ports, names in by_kind((ports, name) for name, ports in left.items() if ports).items():
        leave = "leaves" if len(names) == 1 else "leave"
        yield f"{listed(names)} {leave} sizes of {ports} open: measured with each of them as 1."
    batches = by_kind((one.samples, name) for name, one in ends.items() if one.samples > 1)
    for count, names in batches.items():
        take, their = ("takes", "its") if len(names) == 1 else ("take", "their")
        yield f"{listed(names)} {take} {count} samples at a time: {their} times are of all {count}."
    others = by_kind((one.taken, name) for name, one in ends.items() if one.taken != first.taken)
    for taken, names in others.items():
        take = "takes" if len(names) == 1 else "take"
        yield (
            f"{listed(names)} {take} {taken}, {artifacts[0].id} takes {first.taken}: each was measured "
            "on inputs of its own; their times and memory are of different work."
        )


def _told_apart(artifacts: list[Artifact]) -> list[Artifact]:
    """Artifacts whose names differ: files of one name go by their paths, a file that is given again by its turn."""
    names = Counter(name for name, _ in {(artifact.id, artifact.path) for artifact in artifacts})
    apart = dict[str, Artifact]()
    for artifact in artifacts:
        alone = names[artifact.id] == 1
        name, file = (artifact.id, artifact.chain) if alone else (artifact.path, artifact.path)
        turns = itertools.chain([""], (f" ({number})" for number in itertools.count(2)))
        turn = next(turn for turn in turns if name + turn not in apart)
        update = {"id": name + turn, "variant": name + turn, "chain": file + turn}
        apart[name + turn] = artifact.model_copy(update=update)
    return list(apart.values())
