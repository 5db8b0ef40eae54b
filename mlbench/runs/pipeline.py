"""One run, step by step: train or reuse the baseline, compress, tune, export, measure, judge, record.

Every finished step is in the cache under what determines it, so that a run that was interrupted, or is given
again, does only what is missing; measuring is always done anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbench import __version__
from mlbench.compression.chain import Chain
from mlbench.compression.delivery import export
from mlbench.compression.stages import ChainSetup, Compressed, compress
from mlbench.contracts import DeviceRunner, NetworkSource, Progress, Samples
from mlbench.data.fitting import doubts_of_samples
from mlbench.data.overlap import Seen, overlaps
from mlbench.errors import UsageError
from mlbench.networks import counting
from mlbench.networks.facts import doubts_of_network, facts_of
from mlbench.records import Artifact, Data, Record, SplitSizes, write_record
from mlbench.runs import estimate
from mlbench.runs.measuring import measure, now
from mlbench.runs.plan import Plan, require_own_names
from mlbench.system import environment
from mlbench.system.files import key_of, require_writable
from mlbench.training.baselines import Material, Trained, train_baseline
from mlbench.training.doubts import learnt_nothing, slow_arithmetic
from mlbench.training.options import TrainingOptions

_SPLIT = "test"  # how the run's own test split is called among test sets


@dataclass(frozen=True)
class Finished:
    """A finished run of one network."""

    record: Record
    folder: Path


def run(plan: Plan, progress: Progress, material: Material | None = None) -> list[Finished]:
    """Carry out a plan; one record per network.

    Args:
        plan: what to do.
        progress: is told.
        material: what is learnt from, where it is there already; else it is read.

    Raises:
        UsageError: bad input, or no candidate could be made. What finished before is kept.
    """
    runners = plan.measuring.runners()
    require_own_names(plan.tests, {_SPLIT: "the run's own test split"})
    used = plan.making.used()
    require_writable(plan.out / "report.html")
    samples = None if material else plan.making.samples_for(plan.networks, progress)
    given = {test.name: test.load(plan.making.source.task, progress) for test in plan.tests}
    material = material or plan.making.material(used, progress, samples)
    for name, samples in given.items():
        _require_alike(name, samples, material)
    tests = {_SPLIT: material.samples.take(material.split.test)}
    tests |= {name: samples.numbered_as(material.samples, name) for name, samples in given.items()}
    doubts = told(doubts_of_samples(material.samples, material.split, material.task), progress)
    return [
        _Run(plan, network, used, runners, material, tests, doubts, progress).finish()
        for network in plan.networks
    ]


def _require_alike(name: str, tested: Samples, material: Material) -> None:
    """Refuse a test set that networks for the run's samples cannot take or answer, before hours of work."""
    if tested.encodings != material.samples.encodings:
        message = f"Test set {name}: its inputs differ in name, shape, type or margin from the run's samples."
        raise UsageError(message)
    shapes = material.task.outputs(material.samples).values()
    try:
        material.task.wanted(tested.targets, dict(zip(tested.targets, shapes, strict=True)))
    except (UsageError, ValueError) as error:
        message = f"Test set {name} does not fit the run's samples: {error}"
        raise UsageError(message) from error


@dataclass
class _Run:
    """One network's way through the plan."""

    plan: Plan
    network: NetworkSource
    used: tuple[Trained | None, Trained | None]  # to start from, and to learn from
    runners: list[DeviceRunner]
    material: Material
    tests: dict[str, Samples]
    doubts: list[str]  # about the samples, told already
    progress: Progress

    def finish(self) -> Finished:
        plan, making = self.plan, self.plan.making
        prints = {name: samples.fingerprint for name, samples in self.tests.items()}
        name = key_of(plan.deciding(), self.material.samples.fingerprint, prints)[:8]
        folder = plan.out / f"{self.network.name}-{name}"
        warnings = making.source.warnings() + self.doubts
        warnings += told(self.network.warnings(), self.progress) + self._seen_tests()
        warnings += told(slow_arithmetic(making.training, making.tuning), self.progress)
        self.progress.say(
            f"{self.network.name}: results will be in {folder}, the report in {plan.out / 'report.html'}."
        )
        made = self._artifacts(folder, warnings)
        findings = measure(
            [artifact for artifact, _ in made],
            folder,
            self.material.task,
            self.tests,
            plan.measuring.limited(self.network.limits),
            self.runners,
            self.progress,
        )
        record = Record(
            mlbench_version=__version__,
            created=now(),
            command=plan.command,
            configuration=plan.configuration(),
            environment=environment.machine() | environment.software(),
            data=self._data(),
            layers={artifact.id: tuple(counting.layer_table(c.network())) for artifact, c in made},
            stages={artifact.id: compressed.stages for artifact, compressed in made},
            **findings.with_warnings(warnings),
        )
        write_record(record, folder / "record.json")
        return Finished(record, folder)

    def _seen_tests(self) -> list[str]:
        """Notes on test samples, and rows left out, that training has seen; told before hours of work too."""
        seen, split = Seen.of(self.material.samples, self.material.split), self.material.split
        for used in filter(None, self.used):
            seen |= used.seen
        found = overlaps(seen, self.tests)
        if split.left_out:
            found.append(
                f"{split.left_out:,} samples were left out of training: they are also in the test or validation split."
            )
        return told(found, self.progress)

    def _network_doubts(self, baseline: Trained) -> list[str]:
        """What is probably not meant about the samples and this network; training has told it, the cache did not."""
        network, task, samples = baseline.network(), self.material.task, self.material.train
        facts = facts_of(network, samples)
        if text := task.outputs_told(facts.outputs):
            self.progress.say(f"{self.network.name}: {text}.")
        doubts = doubts_of_network(network, task, samples, facts)
        return told(doubts, self.progress) if baseline.reused else doubts

    def _artifacts(self, folder: Path, warnings: list[str]) -> list[tuple[Artifact, Compressed]]:
        """The baseline first, then a candidate per chain; a refused chain becomes a warning."""
        plan, making, metric = self.plan, self.plan.making, self.material.task.primary
        setup = ChainSetup(self.material, making.tuning, self.progress)
        baseline = trained(self.network, plan.chains, making.training, setup, self.used[0])
        self.progress.say(
            f"Baseline {self.network.name} {_how_made(baseline)}: "
            f"{metric.told(baseline.best.validation[metric.name])} on the validation split."
        )
        warnings += self._network_doubts(baseline)
        nothing = learnt_nothing(self.network.name, baseline, metric, making.training.rate)
        warnings += told(nothing, self.progress)
        made, refused = list[tuple[Artifact, Compressed]](), list[str]()
        for text, chain in {str(chain): chain for chain in (Chain(()), *plan.chains)}.items():
            try:
                compressed = compress(baseline, chain, setup)
                self.progress.say(f"Writing {self.network.name} · {text} …")
                artifact = export(
                    compressed,
                    self.network.name,
                    text,
                    setup,
                    folder,
                    frozen_graph=plan.frozen_graph,
                )
            except UsageError as error:
                if not made:  # the baseline, without which nothing can be compared
                    raise
                # One chain of many that cannot be made is no reason to lose the others.
                refused.append(f"{self.network.name} · {text} was not made: {error}")
                self.progress.say(refused[-1])
                continue
            made.append((artifact, compressed))
        if refused and len(made) == 1:
            raise UsageError(refused[0])
        warnings.extend(refused)
        return made

    def _data(self) -> Data:
        source, samples, split = self.plan.making.source, self.material.samples, self.material.split
        return Data(
            source=source.describe(),
            fingerprint=samples.fingerprint,
            samples=len(samples),
            sampled=source.sampled,
            groups=samples.group_count,
            unit=samples.unit,
            split=SplitSizes(
                train=len(split.train),
                validation=len(split.validation),
                test=len(split.test),
                rule=split.rule,
            ),
        )


def trained(
    network: NetworkSource,
    chains: Sequence[Chain],
    training: TrainingOptions,
    setup: ChainSetup,
    start: Trained | None,
) -> Trained:
    """The baseline of a network, trained or from the cache; what it and tuning will take is told where it is known."""
    material, progress = setup.material, setup.progress
    if expected := estimate.before_training(network, material, training, start, chains, setup):
        progress.say(expected)
    baseline = train_baseline(network, material, training, progress, start)
    if not baseline.reused and (expected := estimate.after_training(baseline, chains, setup)):
        progress.say(expected)
    return baseline


def _how_made(baseline: Trained) -> str:
    if len(baseline.history) == 1:
        return "as given"
    return "from the cache" if baseline.reused else "trained"


def told(warnings: list[str], progress: Progress) -> list[str]:
    """The warnings, which are told at once too."""
    for warning in warnings:
        progress.warn(warning)
    return warnings
