"""The steps of a job, each known by its key in the cache before it is carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from mlbench.compression.chain import Chain, parse_chain
from mlbench.compression.stages import STAGE_DONE, ChainSetup, StageAhead, stages_ahead
from mlbench.contracts import NetworkSource, Progress, Samples
from mlbench.errors import UsageError
from mlbench.plugins import did_you_mean
from mlbench.runs.plan import Making
from mlbench.search.engine.judging import judged_name
from mlbench.search.work import Job
from mlbench.system.cache import cache_folder
from mlbench.training.baselines import BASELINE_DONE, Material, Trained, baseline_folder, baseline_key

Kind = Literal["baseline", "stage", "judged"]


@dataclass(frozen=True)
class Step:
    """One step of a job; those of equal key are the same, whatever job asks for them.

    Attributes:
        kind: a baseline is trained, a stage compressed and tuned, or a file written and judged.
        key: of all that decides what it leaves.
        mark: the file that is there once it is done, relative to the cache.
        network: name of the network.
        chain: of compressors up to this step, as text.
        epochs: of tuning that are spent on that chain; None: all.
        needs: marks of what must be there before.
        helps: marks of what it goes on from where one is there, the furthest first.
        alone: steps that share this are never done at the same time.
    """

    kind: Kind
    key: str
    mark: str
    network: str
    chain: str
    epochs: int | None
    needs: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()
    alone: str = ""

    @property
    def title(self) -> str:
        """What it does, for people."""
        told = {"baseline": "training", "stage": f"making {self.chain}", "judged": f"judging {self.chain}"}
        return f"{self.network}: {told[self.kind]}"


@dataclass(frozen=True)
class Planned:
    """A job as steps, in order.

    Attributes:
        steps: the last judges what the others made.
        key: of the last stage, or of the baseline.
        complete: whether the chain is carried out to its end.
    """

    steps: tuple[Step, ...]
    key: str
    complete: bool


class Planner:
    """Knows the steps of jobs, and carries none of them out."""

    def __init__(
        self,
        making: Making,
        networks: Mapping[str, NetworkSource],
        progress: Progress,
        samples: Samples | None = None,
    ) -> None:
        """Plan for networks, by the names that jobs call them by; samples that are not given are read or drawn."""
        self.making, self.networks, self._progress, self._samples = making, networks, progress, samples

    @cached_property
    def used(self) -> tuple[Trained | None, Trained | None]:
        """The finished baselines that training starts from and tuning learns from."""
        return self.making.used()

    @cached_property
    def material(self) -> Material:
        """What is learnt from; samples are read when they are asked for."""
        return self.making.material(self.used, self._progress, self._samples)

    @cached_property
    def setup(self) -> ChainSetup:
        """What every stage works with."""
        return ChainSetup(self.material, self.making.tuning, self._progress)

    def network(self, name: str) -> NetworkSource:
        """The network of a name.

        Raises:
            UsageError: there is none.
        """
        if name not in self.networks:
            message = f'There is no network "{name}" in this search{did_you_mean(name, self.networks)}'
            raise UsageError(message)
        return self.networks[name]

    def baseline(self, network: str) -> tuple[str, Path]:
        """Key and folder of a network's baseline."""
        source = self.network(network)
        key = baseline_key(source, self.material, self.making.training, self.used[0])
        return key, baseline_folder(source, key)

    def stages(self, network: str, chain: Chain, epochs: int | None) -> list[StageAhead]:
        """The stages of a chain."""
        return stages_ahead(self.baseline(network)[0], chain, self.setup, epochs)

    def steps(self, job: Job) -> Planned:
        """A job as steps.

        Raises:
            UsageError: no such network, or no such chain.
        """
        chain = parse_chain(job.chain)
        key, folder = self.baseline(job.network)
        trained = _mark(folder / BASELINE_DONE)
        used = tuple(_mark(one.folder / BASELINE_DONE) for one in self.used if one)
        steps = [Step("baseline", key, trained, job.network, "none", None, used, alone=key)]
        last, spent, text = trained, 0, "none"
        stages = stages_ahead(key, chain, self.setup, job.epochs)
        for number, stage in enumerate(stages, 1):
            key, spent, text = stage.key, spent + stage.epochs, str(Chain(chain.compressors[:number]))
            epochs = None if all(one.complete for one in stages[:number]) else spent
            steps.append(
                Step(
                    "stage",
                    key,
                    _mark(stage.done),
                    job.network,
                    text,
                    epochs,
                    tuple(dict.fromkeys((trained, *used, last))),
                    tuple(_mark(earlier / STAGE_DONE) for earlier in reversed(stage.began()[1:])),
                    alone=stage.whole,
                )
            )
            last = steps[-1].mark
        complete = all(stage.complete for stage in stages)
        needs = tuple(dict.fromkeys((trained, last)))
        judged = Step(
            "judged",
            f"judged-{key}",
            str(Path(last).parent / judged_name()),
            job.network,
            text,
            None if complete else spent,
            needs,
            alone=f"judged-{key}",
        )
        return Planned((*steps, judged), key, complete)


def _mark(path: Path) -> str:
    return path.relative_to(cache_folder()).as_posix()
