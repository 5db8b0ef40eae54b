"""`mlbench search`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlbench.cli.experiment import (
    Command,
    config_options,
    entries_of_space,
    naming,
    place_of,
    setting,
    settings,
)
from mlbench.cli.options import (
    complete,
    data_options,
    engine_options,
    measuring_options,
    model_of,
    model_option,
    network_of,
    output_options,
    require_data,
    training_options,
    tuning_options,
)
from mlbench.cli.output import progress_bars, report_of, write_page
from mlbench.cli.run import models_of, plan_of, run
from mlbench.errors import UsageError

if TYPE_CHECKING:
    from mlbench.contracts import NetworkSource, Progress
    from mlbench.records import SearchRecord
    from mlbench.runs.plan import Plan
    from mlbench.search.aim import Aim
    from mlbench.search.space import Space
    from mlbench.training.baselines import Material

_SAMPLERS = ("model", "tpe", "nsga", "random")


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  mlbench search --variant basic --faces 1000 --trials 6 --epochs 1
  mlbench search --variant basic --data faces.npz --budget size=128KB --trials 30 --hours 3
  mlbench search --config experiment.toml --sampler nsga --workers 2
  mlbench search --variant "basic(filters={f})" --set 'search.f=["8-16-32", "16-32-64"]' --chain "tucker+int8"
  mlbench search --best size=128KB

The table [search] of the file says what may vary; see docs/how-to/search.md.
""",
)
@config_options
@setting(
    "networks",
    "--variant",
    "variants",
    multiple=True,
    default=["basic"],
    show_default=True,
    shell_complete=complete("variants"),
    help="Network to compress. Its fields may hold {names} that vary: basic(filters={f}). May be repeated.",
)
@model_option("models", multiple=True)
@setting(
    "search.chain",
    "--chain",
    "chain",
    multiple=True,
    help="Chain to try. It may hold {names} that vary; [search] gives their values. May be repeated. "
    "[default: every order of techniques that makes sense]",
)
@setting(
    "search.start",
    "--start",
    "starts",
    multiple=True,
    help="Chain to try first. May be repeated. [default: those that the documentation recommends]",
)
@setting(
    "search.trials",
    "--trials",
    default=30,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Number of candidates to try, including those of earlier calls.",
)
@setting(
    "search.hours", "--hours", type=click.FloatRange(0, min_open=True), help="Stop after this many hours."
)
@setting(
    "search.sampler",
    "--sampler",
    type=click.Choice(_SAMPLERS),
    default="model",
    show_default=True,
    help="Method that proposes candidates: a model of all trials, TPE, NSGA-II or random choice.",
)
@setting(
    "search.latency",
    "--latency",
    is_flag=True,
    help="Make latency a third objective, beside bytes and the metric.",
)
@setting(
    "search.study",
    "--study",
    metavar="URL",
    help="Database for the trials, e.g. postgresql+psycopg://USER@HOST/DATABASE. [default: a file in --out]",
)
@setting("chains", "--compress", "chains", multiple=True, unused=True, help="Of the file of a run: not used.")
@setting("output.frozen_graph", "--pb", is_flag=True, unused=True, help="Likewise.")
@click.option(
    "--best",
    multiple=True,
    metavar="BUDGET",
    help="Print the best candidate of the newest search in --out that keeps this budget, and end. May be repeated.",
)
@data_options
@training_options
@tuning_options
@measuring_options
@engine_options
@output_options
def search(best: tuple[str, ...], as_json: bool, out: Path, **options: Any) -> None:
    """Find the best trade-offs of metric, bytes and latency, within budgets.

    The same command continues a search that was stopped.
    With more --trials, it continues one that has ended.
    """
    if best:
        _show_best(best, out, as_json)
        return
    from mlbench.search import finishing

    begun = _Begun.of(out, **options)
    record = begun.searched(options)
    finishing.write(record, begun.folder)
    _require_front(record)
    record, runs = finishing.measured(
        record, begun.plan, begun.networks, begun.material, begun.folder, progress_bars()
    )
    finishing.write(record, begun.folder)
    page = write_page([one.record for one in runs], begun.folder / "report.html")
    path = begun.folder / "search.html"
    report_of(path).write_search(record, path)
    _show(record, as_json)
    for told, place in (("Search", path), ("Report", page)):
        click.echo(f"{told}: {place}", err=as_json)


@dataclass(frozen=True)
class _Begun:
    """What a search needs, from its options."""

    plan: Plan
    networks: _Networks
    material: Material
    space: Space
    usual: bool  # whether the space is the default one
    aim: Aim
    name: str
    folder: Path

    @classmethod
    def of(cls, out: Path, variants: tuple[str, ...], models: tuple[str, ...], **options: Any) -> _Begun:
        from mlbench.search.aim import Aim
        from mlbench.system.files import key_of, require_writable

        texts, networks = _networks(variants, models, **options)
        options = {name: value for name, value in options.items() if name != "chains"} | {
            "pb": False,
            "out": out,
        }
        plan = plan_of((), tuple(networks[_plain(text)] for text in texts), **options)
        plan = replace(plan, command=_command(options["study"]))
        progress = progress_bars()
        material = plan.making.material(plan.making.used(), progress, networks=plan.networks)
        task = plan.making.source.task
        aim = Aim(task.primary, plan.measuring.budgets if options["budgets"] else (), options["latency"])
        for budget in aim.unjudged:
            progress.say(f"Note: {budget.name} is judged when the front is measured, not before.")
        space, usual = _space(texts, networks, plan, material, aim, options["chain"], progress)
        name = key_of(
            space.configuration(),
            [one.key() for one in plan.networks],
            plan.making.configuration(),
            material.samples.fingerprint,
            [budget.name for budget in aim.budgets],
            aim.latency,
            options["sampler"],
        )[:8]
        folder = out / f"search-{name}"
        require_writable(folder / "report.html")
        return cls(plan, networks, material, space, usual, aim, name, folder)

    def searched(self, options: dict[str, Any]) -> SearchRecord:
        """The search itself, up to its limits; the record is written whenever the front changes."""
        from rich.console import Console

        from mlbench.cli.search_view import SearchView
        from mlbench.evaluation.metrics import facts_of
        from mlbench.search import finishing
        from mlbench.search.engine import open_engine
        from mlbench.search.searching import Limits, Search, Seen
        from mlbench.search.study import Row, Study, database_in
        from mlbench.search.work import Job

        metric = facts_of(self.plan.making.source.task).primary
        telling = finishing.Telling(
            self.name,
            metric,
            tuple(budget.name for budget in self.aim.budgets),
            options["sampler"],
            self.plan.command,
            _again(options, self.networks),
        )
        limits = Limits(options["trials"], options["hours"] and options["hours"] * 3600)
        url = options["study"] or database_in(self.folder)
        objectives, seed = 3 if self.aim.latency else 2, options["seed"]
        console = Console(stderr=True)
        progress = progress_bars(console)
        study = Study(
            url, f"mlbench-{self.name}", self.space, objectives, options["sampler"], seed, progress.say
        )
        with closing(study), SearchView(console, metric, progress) as view:
            study.start_with(self._starts(options["starts"], limits.trials))
            engine = open_engine(
                self.plan.making,
                self.networks,
                self.plan.measuring,
                workers=options["workers"],
                scheduler=options["scheduler"],
                progress=view.progress,
                material=self.material,
            )
            known: list[Row] = []

            def watch(seen: Seen) -> None:
                view(seen)
                if seen.found.rows != known:
                    known[:] = seen.found.rows
                    finishing.write(telling.record(seen.found), self.folder)

            with closing(engine):
                found = Search(study, engine, self.aim, self.plan.making.tuning.epochs).run(limits, watch)
                engine.bring([Job(row.candidate.network, row.candidate.chain) for row in found.front])
        return telling.record(found)

    def _starts(self, given: tuple[str, ...], trials: int) -> list[dict[str, str]]:
        """Values of chains to try first: as given, or those that docs recommend, for half of the trials."""
        from mlbench.compression.chain import parse_chain
        from mlbench.search.usual import float_bytes, recommended

        names = [self.networks[_plain(text)].name for text in self.space.networks]
        if given:
            with naming("starts"):
                return [self._start(names, parse_chain(text)) for text in given]
        if not self.usual:
            return []
        size = float_bytes(_built(self.plan.networks[:1], self.plan, self.material)[0])
        chains = [parse_chain(text) for text in recommended(size, self.aim.most_bytes)]
        found = [values for chain in chains if (values := self.space.values_of(names[0], chain)) is not None]
        return found[: max(1, trials // 2)]

    def _start(self, names: list[str], chain: Any) -> dict[str, str]:
        for name in names:
            if (values := self.space.values_of(name, chain)) is not None:
                return values
        message = (
            f"--start {chain} is not in the space of the search: extend the space, or leave --start out."
        )
        raise UsageError(message)


def _built(sources: Sequence[NetworkSource], plan: Plan, material: Material) -> list[Any]:
    from mlbench.networks import building

    return [
        building.build(source, material.task, material.samples, plan.making.source.seed) for source in sources
    ]


class _Networks(Mapping[str, Any]):
    """Networks by name: those that a user brings, or variants with whatever fields their texts give."""

    def __init__(self, own: Mapping[str, NetworkSource]) -> None:
        self._own = own
        self._made: dict[str, NetworkSource] = dict(own)

    def __getitem__(self, name: str) -> NetworkSource:
        if name not in self._made:
            if self._own:
                raise KeyError(name)
            self._made[name] = network_of(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


def _networks(
    variants: tuple[str, ...], models: tuple[str, ...], **options: Any
) -> tuple[tuple[str, ...], _Networks]:
    """The texts of networks, names of those that a user brings, and the networks by name."""
    if models := models_of(variants, models):
        require_data(**options)
        with naming("models"):
            own = [model_of(text, options["epochs"]) for text in dict.fromkeys(models)]
        return tuple(one.name for one in own), _Networks({one.name: one for one in own})
    if "all" in variants:
        from mlbench import plugins

        variants = tuple(plugins.usable("variants")[0])
    return tuple(dict.fromkeys(variants)), _Networks({})


def _plain(text: str) -> str:
    """A network's text with the first value of each name, for what only its kind matters to."""
    from mlbench.search.space import first_of

    entries, place = entries_of_space()
    return first_of(text, entries, place)


def _space(
    texts: tuple[str, ...],
    sources: _Networks,
    plan: Plan,
    material: Material,
    aim: Aim,
    chain: tuple[str, ...],
    progress: Progress,
) -> tuple[Space, bool]:
    """The space that the file asks for; where it has no chain, the default one with what the file says of its names."""
    from mlbench.compression.stages import ChainSetup
    from mlbench.contracts import Context
    from mlbench.search.space import CHAIN, space_of
    from mlbench.search.usual import usual_space
    from mlbench.system.progress import Silent

    entries, place = entries_of_space()
    if not chain:
        progress.say("Finding out which techniques can handle the network …")
        setup = ChainSetup(material, plan.making.tuning, progress)
        context = Context(setup.calibration(), plan.making.source.seed, Silent())
        networks = _built(plan.networks, plan, material)
        entries = usual_space(networks, context, plan.making.tuning.epochs, aim.most_bytes) | entries
    else:
        entries[CHAIN] = list(chain)
        of_table, place = place, lambda name: place_of("chain") if name == CHAIN else of_table(name)

    return space_of(entries, texts, lambda text: sources[text].name, place), not chain


def _again(options: dict[str, Any], networks: _Networks) -> Callable[[str, str], str]:
    """What says the command that makes a candidate again: every option that was given, by flags alone."""
    context = click.get_current_context()
    left_out = {"networks", "models", "chains"}
    shared: list[str] = []
    known = settings(run)
    for key, option in settings(context.command).items():
        source = context.get_parameter_source(str(option.name))
        usual = source in (click.core.ParameterSource.DEFAULT, None)
        if key in known and key not in left_out and not usual and not key.startswith(("output.", "engine.")):
            shared += _flags(option, options.get(str(option.name), context.params.get(str(option.name))))

    def again(network: str, chain: str) -> str:
        origin = networks[network].origin
        which = ["--model", origin] if origin else ["--variant", network]
        return shlex.join(["mlbench", "run", *which, "--compress", chain, *shared])

    return again


def _flags(option: click.Option, value: Any) -> list[str]:
    """An option with its value, as on a command line."""
    if option.is_flag:
        names = option.opts if value else option.secondary_opts
        return names[:1]
    values = value if option.multiple else [value]
    return [text for one in values if one is not None for text in (option.opts[0], str(one))]


def _command(study: str | None) -> tuple[str, ...]:
    """The command that was given, without the password of a database."""
    from mlbench.search.storage import shown

    command = ("mlbench", *sys.argv[1:])
    return tuple(part.replace(study, shown(study)) for part in command) if study else command


def _require_front(record: SearchRecord) -> None:
    if record.front:
        return
    known = [trial for trial in record.trials if trial.file_bytes and trial.state in ("complete", "stopped")]
    failed = next((trial.failure for trial in record.trials if trial.failure), "")
    least = min(known, key=lambda trial: trial.file_bytes or 0, default=None)
    near = f" The smallest file has {least.file_bytes:,} bytes ({least.chain})." if least else f" {failed}"
    message = (
        f"None of {len(record.trials)} candidates keeps {', '.join(record.budgets) or 'the limits'}.{near} "
        "Increase --trials, or change the budgets."
    )
    raise UsageError(message)


def _show(record: SearchRecord, as_json: bool) -> None:
    from rich.console import Console

    from mlbench.cli.search_view import show_front

    if as_json:
        click.echo(record.model_dump_json())
    else:
        show_front(record, Console())


def _show_best(budgets: tuple[str, ...], out: Path, as_json: bool) -> None:
    """The candidate to ship."""
    from mlbench.evaluation.budgets import parse_budget
    from mlbench.search import finishing
    from mlbench.system.sizes import format_size

    folder = out if (out / finishing.NAME).exists() else finishing.newest(out)
    record = finishing.read(folder)
    best = finishing.best_of(record, [parse_budget(text, [record.metric]) for text in budgets])
    if best is None:
        message = (
            f"No candidate of {folder} keeps {', '.join(budgets)}: continue the search with that --budget."
        )
        raise UsageError(message)
    point = next((one for one in record.front if one.trial == best.number), None)
    if as_json:
        click.echo(best.model_dump_json() if point is None else _joined(best, point))
        return
    click.echo(f"{best.network} · {best.chain}")
    click.echo(
        f"{format_size(best.file_bytes or 0)}, validation {record.metric.title} {record.metric.told(best.value or 0)}"
    )
    if point is not None:
        click.echo(f"File: {folder / point.file}" if point.file else "File: not measured yet")
        click.echo(f"Command that makes it again: {point.command}")


def _joined(best: Any, point: Any) -> str:
    import json

    return json.dumps(best.model_dump(mode="json") | point.model_dump(mode="json"))
