"""What travels between a client and workers: values as JSON, validated where they arrive. No code, no module names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlbench import plugins
from mlbench.compression.stages import LIBRARIES
from mlbench.contracts import Block, NetworkSource, Variant
from mlbench.contracts.reading import Reading
from mlbench.data.sources import Source
from mlbench.data.split import Rule
from mlbench.errors import UsageError
from mlbench.networks.importing.source import ImportedNetwork
from mlbench.runs.plan import Making
from mlbench.search.engine.judging import Judgement
from mlbench.search.engine.steps import Kind, Step
from mlbench.search.engine.transport import place_of
from mlbench.system.cache import cache_folder
from mlbench.system.environment import versions
from mlbench.training.options import TrainingOptions, TuningOptions

#: A name that becomes part of a file's.
Name = Annotated[str, Field(pattern=r"^[^./\x00][^/\x00]*$", max_length=200)]
#: A file of the cache that marks what is beside it finished.
Mark = Annotated[
    str,
    Field(
        pattern=r"^(baselines|stages|imports|samples)/[^./\x00][^/\x00]*/[^./\x00][^/\x00]*$", max_length=400
    ),
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Form(BaseModel):
    """A value that travels."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BlockForm(Form):
    """A convolution of a variant."""

    filters: Annotated[int, Field(ge=1, le=65536)]
    kernel: Annotated[int, Field(ge=1, le=1024)]
    pool: bool


class VariantForm(Form):
    """A network by its convolutions and dense layers."""

    kind: Literal["variant"] = "variant"
    name: Name
    summary: str
    blocks: tuple[BlockForm, ...]
    dense: tuple[Annotated[int, Field(ge=1)], ...]
    shape: tuple[int, int, int] | None
    outputs: int | None

    def network(self) -> NetworkSource:
        """The network."""
        blocks = tuple(Block(one.filters, one.kernel, one.pool) for one in self.blocks)
        return Variant(self.name, self.summary, blocks, self.dense, self.shape, self.outputs)

    def needs(self) -> tuple[str, ...]:
        """Nothing else."""
        return ()


class ImportedForm(Form):
    """A network of a user's own, which was imported where it came from: data in the cache."""

    kind: Literal["imported"] = "imported"
    name: Name
    summary: str
    folder: Name
    digest: str
    origin: str
    trained: bool
    inputs: dict[str, tuple[int | None, ...]]
    outputs: dict[str, tuple[int | None, ...]]
    difference: float

    def network(self) -> NetworkSource:
        """The network."""
        values = self.model_dump(exclude={"kind", "folder"})
        return ImportedNetwork(folder=cache_folder() / "imports" / self.folder, **values)

    def needs(self) -> tuple[str, ...]:
        """The mark of what was imported."""
        return (f"imports/{self.folder}/facts.json",)


class PluginForm(Form):
    """A network that an installed package brings, by its name."""

    kind: Literal["plugin"] = "plugin"
    name: Name

    def network(self) -> NetworkSource:
        """The network.

        Raises:
            UsageError: no package here brings it.
        """
        found: NetworkSource = plugins.load("variants", self.name)
        return found

    def needs(self) -> tuple[str, ...]:
        """Nothing else."""
        return ()


NetworkForm = Annotated[VariantForm | ImportedForm | PluginForm, Field(discriminator="kind")]


def form_of_network(network: NetworkSource) -> VariantForm | ImportedForm | PluginForm:
    """A network as a value that travels.

    Raises:
        UsageError: it is of a class that no installed package names.
    """
    if type(network) is Variant:
        blocks = tuple(BlockForm(filters=b.filters, kernel=b.kernel, pool=b.pool) for b in network.blocks)
        apart = {"blocks", "limits"}  # files are judged where the record is made
        values: dict[str, Any] = {key: value for key, value in vars(network).items() if key not in apart}
        return VariantForm(blocks=blocks, **values)
    if type(network) is ImportedNetwork:
        values = {key: value for key, value in vars(network).items() if key != "folder"}
        return ImportedForm(folder=network.folder.name, **values)
    if network.name in plugins.names("variants"):
        return PluginForm(name=network.name)
    message = f"{network.name} cannot be sent to workers: give it as a variant or by --model."
    raise UsageError(message)


class SamplesForm(Form):
    """The samples of a run: how they are read or drawn, and what they must turn out to be."""

    task: Name
    path: str | None
    count: int
    rule: Rule | None
    seed: int
    how: Reading
    fingerprint: Sha256

    @property
    def mark(self) -> str:
        """Where they are kept where `path` is not there."""
        return f"samples/{self.fingerprint[:16]}/samples.npz"

    def source(self) -> Source:
        """Where they come from."""
        task = plugins.load("tasks", self.task)()
        return Source(
            task, Path(self.path) if self.path else None, self.count, self.rule, self.seed, self.how
        )


class MakingForm(Form):
    """How networks are made."""

    samples: SamplesForm
    training: TrainingOptions
    tuning: TuningOptions
    start_from: Name | None

    def making(self) -> Making:
        """How networks are made."""
        return Making(self.samples.source(), self.training, self.tuning, self.start_from)


def form_of_making(making: Making, fingerprint: str) -> MakingForm:
    """How networks are made, as a value that travels."""
    source = making.source
    samples = SamplesForm(
        task=source.task.name,
        path=str(source.path.absolute()) if source.path else None,
        count=source.count,
        rule=source.rule,
        seed=source.seed,
        how=source.how,
        fingerprint=fingerprint,
    )
    return MakingForm(
        samples=samples, training=making.training, tuning=making.tuning, start_from=making.start_from
    )


class StepForm(Form):
    """A step that a worker shall carry out.

    Attributes:
        kind: see `Step`, as of all that follows.
        needs: marks, with addresses of the workers that have what they mark.
        helps: likewise, of what is of use where it can be had.
        versions: of mlbench and of the packages that decide what a step leaves.
    """

    making: MakingForm
    network: NetworkForm
    kind: Kind
    key: Annotated[str, Field(pattern=r"^[0-9a-z-]{1,64}$")]
    chain: str
    epochs: Annotated[int, Field(ge=0)] | None
    needs: dict[Mark, tuple[str, ...]]
    helps: dict[Mark, tuple[str, ...]]
    versions: dict[str, str]


class TimedForm(Form):
    """Files that one worker shall time, interleaved.

    Attributes:
        files: what each is of: marks of the judged networks.
        needs: see `StepForm`, as of the versions.
        threads: of an inference; the other fields as in `mlbench.runs.measuring.Measuring`.
    """

    files: tuple[Mark, ...]
    needs: dict[Mark, tuple[str, ...]]
    versions: dict[str, str]
    threads: Annotated[int, Field(ge=1, le=256)]
    min_count: Annotated[int, Field(ge=1)]
    min_seconds: Annotated[float, Field(ge=0)]
    seed: int


class Reply(Form):
    """What a worker answers.

    Attributes:
        status: done; failed, whoever tries; unfit: this worker cannot, another may; lacking: what it needs cannot be
            had from the workers that were named; lost: nobody answers any more.
        message: why.
        lacking: marks.
        epochs: of training and tuning that were run.
        seconds: that it took.
        worker: which.
        judgement: of the step that judges.
        times: p50 of each file, ms, of those that were timed.
    """

    status: Literal["done", "failed", "unfit", "lacking", "lost"]
    message: str = ""
    lacking: tuple[str, ...] = ()
    epochs: int = 0
    seconds: float = 0.0
    worker: str = ""
    judgement: Judgement | None = None
    times: tuple[float, ...] = ()


@cache
def own_versions() -> dict[str, str]:
    """The versions of mlbench, and of the packages that decide what a step leaves, here."""
    return versions("mlbench", *LIBRARIES)


def require_same_versions(theirs: dict[str, str], who: str) -> None:
    """Refuse to work for, or with, another version: keys would be others.

    Raises:
        UsageError: the first that differs.
    """
    own = own_versions()
    for name in sorted({*own, *theirs}, key=lambda name: (name != "mlbench", name)):
        here, there = own.get(name, "none"), theirs.get(name, "none")
        if here != there:
            message = f"{who} has {name} {there}, this machine has {here}: install the same versions on all machines."
            raise UsageError(message)


def form_of_step(
    step: Step,
    making: MakingForm,
    network: VariantForm | ImportedForm | PluginForm,
    holders: Mapping[str, tuple[str, ...]],
) -> StepForm:
    """A step as a value that travels; `holders` says which workers have what."""
    helps = [mark for mark in step.helps if mark in holders]
    here = [mark for mark in step.helps if place_of(mark).exists()]
    needs = (*step.needs, *network.needs(), *([] if helps else here[:1]))
    return StepForm(
        making=making,
        network=network,
        kind=step.kind,
        key=step.key,
        chain=step.chain,
        epochs=step.epochs,
        needs={mark: holders.get(mark, ()) for mark in needs},
        helps={mark: holders[mark] for mark in helps},
        versions=own_versions(),
    )
