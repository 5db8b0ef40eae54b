"""What a run shall do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlbench.compression.chain import Chain
from mlbench.contracts import NetworkSource, Progress, Samples, Variant
from mlbench.data.sources import Source, TestSet
from mlbench.errors import UsageError
from mlbench.networks import building
from mlbench.runs.measuring import Measuring
from mlbench.training import accelerators
from mlbench.training.baselines import Material, Trained, baseline_named, require_apart
from mlbench.training.options import TrainingOptions, TuningOptions


@dataclass(frozen=True)
class Making:
    """How networks are made: what they learn, from what, how they are trained and tuned.

    Attributes:
        source: of the samples, with the task.
        training: of the baseline.
        tuning: after compressors.
        start_from: name of a finished baseline.
    """

    source: Source
    training: TrainingOptions
    tuning: TuningOptions
    start_from: str | None = None

    def used(self) -> tuple[Trained | None, Trained | None]:
        """The finished baselines that training starts from and that tuning learns from, if the options name any.

        Raises:
            UsageError: there is none of that name.
        """
        names = self.start_from, self.tuning.teacher
        start, teacher = (baseline_named(name, self.source.task) if name else None for name in names)
        return start, teacher

    def samples_for(self, networks: Sequence[NetworkSource], progress: Progress) -> Samples | None:
        """The samples of a file, which all networks fit; None where they are drawn: one is, to look at.

        Args:
            networks: that shall learn from them.
            progress: is told of the samples.

        Raises:
            UsageError: the file cannot be read, a network does not fit, or there is no GPU.
        """
        self._prepare()
        source = self.source
        samples = None if source.sampled else source.load(progress)
        seen = source.task.sample(1, source.seed) if samples is None and networks else samples
        if seen is not None:
            building.require_buildable(networks, source.task, seen, self.training.seed)
        return samples

    def material(
        self,
        used: Sequence[Trained | None],
        progress: Progress,
        samples: Samples | None = None,
        networks: Sequence[NetworkSource] = (),
    ) -> Material:
        """What is learnt from, of which the baselines that are used have seen nothing that is kept back.

        Args:
            used: baselines.
            progress: is told of the samples.
            samples: where they are there already; else they are read or drawn.
            networks: that shall learn from them; see `samples_for`.

        Raises:
            UsageError: the samples cannot be read or split, a network does not fit, a baseline has seen what it must
                not, or there is no GPU.
        """
        self._prepare()
        samples = self.samples_for(networks, progress) if samples is None else samples
        found = Material(self.source.task, *self.source.divided(progress, samples))
        for baseline in filter(None, used):
            require_apart(baseline, found)
        return found

    def _prepare(self) -> None:
        """Choose what TensorFlow shall use; before any network is made, if only to look at it."""
        accelerators.prepare(self.training.accelerator)
        accelerators.use_threads(self.training.threads)

    def experiment(self) -> dict[str, Any]:
        """As tables of the file of an experiment."""
        source = self.source
        rest = {"seed", "teacher_share"}  # of the whole run, and of tuning
        own = (
            "epochs",
            "rate",
            "patience",
            "optimizer",
            "loss",
            "augment_strength",
            "teacher_share",
            "teacher",
        )
        return {
            "task": source.task.name,
            "seed": source.seed,
            "data": {
                "file": str(source.path) if source.path else None,
                "samples": source.count,
                "split": source.rule,
                **source.how.experiment(),
            },
            "training": self.training.model_dump(mode="json", exclude=rest) | {"start_from": self.start_from},
            "tuning": self.tuning.model_dump(mode="json", include=set(own))
            | {"samples": self.tuning.sampled},
        }

    def configuration(self) -> dict[str, Any]:
        """What decides the networks, as JSON values."""
        return {
            "task": self.source.task.name,
            "source": self.source.describe(),
            "split": self.source.rule,
            "training": self.training.model_dump(mode="json"),
            "start_from": self.start_from,
            "tuning": self.tuning.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class Plan:
    """What a run shall do; everything that determines its outcome is in here."""

    networks: tuple[NetworkSource, ...]
    chains: tuple[Chain, ...]  # the baseline is always measured too
    making: Making
    tests: tuple[TestSet, ...]
    measuring: Measuring
    frozen_graph: bool = False
    workers: int = 1  # processes of this machine that make the candidates
    scheduler: str | None = None  # of a cluster that makes them in their place
    out: Path = Path("runs")
    command: tuple[str, ...] = ()

    def experiment(self) -> dict[str, Any]:
        """The whole plan as tables of the file of an experiment, from which `--config` makes the same plan."""
        found = {
            "networks": [network.name for network in self.networks if not network.origin],
            "models": [network.origin for network in self.networks if network.origin],
            "chains": [str(chain) for chain in self.chains],
            **self.making.experiment(),
            "measuring": self.measuring.experiment(),
            "engine": {"workers": self.workers, "scheduler": self.scheduler},
            "output": {"folder": str(self.out), "frozen_graph": self.frozen_graph},
        }
        found["data"]["tests"] = [test.text for test in self.tests]
        return found

    def configuration(self) -> dict[str, Any]:
        """The plan as JSON values, for the record."""
        return {"experiment": self.experiment(), **self.deciding()}

    def deciding(self) -> dict[str, Any]:
        """What decides the figures besides the samples, wherever their files lie: names the run's folder."""
        return {
            "variants": [network.name for network in self.networks],
            "models": [network.key() for network in self.networks if not isinstance(network, Variant)],
            "chains": [str(chain) for chain in self.chains],
            "tests": [str(test) for test in self.tests],
            **self.making.configuration(),
            "measuring": self.measuring.configuration(),
        }


def require_own_names(tests: Sequence[TestSet], taken: dict[str, str]) -> None:
    """Refuse two test sets of one name; `taken` says what else has which name.

    Raises:
        UsageError: which.
    """
    owners = dict(taken)
    for test in tests:
        if test.name in owners:
            message = (
                f'{test.path} would be called "{test.name}" in tables, as {owners[test.name]} is: '
                "give it once, or rename the file."
            )
            raise UsageError(message)
        owners[test.name] = str(test.path)
