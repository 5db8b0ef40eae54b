"""What runs on a worker: steps that a client describes, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from mlbench.compression.chain import parse_chain
from mlbench.compression.stages import shipped_file
from mlbench.contracts import NetworkSource
from mlbench.errors import UsageError
from mlbench.runs.measuring import Measuring
from mlbench.search.engine import samples
from mlbench.search.engine.forms import (
    Form,
    MakingForm,
    Reply,
    StepForm,
    TimedForm,
    own_versions,
    require_same_versions,
)
from mlbench.search.engine.peers import own_address, reach
from mlbench.search.engine.steps import Planner, Step
from mlbench.search.engine.transport import fetch, hashed, place_of
from mlbench.search.engine.workshop import UnfitError, carry_out, time_files, tried
from mlbench.system.cache import cache_folder
from mlbench.system.progress import Silent

_AT_ONCE = threading.Lock()  # one heavy step, however many a worker is given
_F = TypeVar("_F", bound=Form)


def perform(text: str) -> str:
    """Carry out the step that a `StepForm` describes; answers a `Reply`."""
    return _answered(StepForm, text, _step)


def measure(text: str) -> str:
    """Time the files that a `TimedForm` names; answers a `Reply`."""
    return _answered(TimedForm, text, _timed)


def about() -> dict[str, str]:
    """The versions here."""
    return own_versions()


def marks() -> list[str]:
    """What is finished in this machine's cache."""
    kinds = ("baselines/*/history.json", "stages/*/stage.json", "*/*/judged-*.json")
    root = cache_folder()
    return [path.relative_to(root).as_posix() for kind in kinds for path in root.glob(kind)]


def read(mark: str) -> str:
    """The text of a mark."""
    return place_of(mark).read_text(encoding="utf-8")


def _answered(kind: type[_F], text: str, do: Callable[[_F], Reply]) -> str:
    """What a worker answers to a form, whatever is wrong with it or here."""
    try:
        form = kind.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        return Reply(status="failed", message=f"not a step: {place}: {fault['msg']}").model_dump_json()
    with _AT_ONCE:
        reply = tried(partial(do, form))
    return reply.model_copy(update={"worker": own_address()}).model_dump_json()


def _require_same_versions(theirs: dict[str, str]) -> None:
    try:
        require_same_versions(theirs, "The client")
    except UsageError as error:
        raise UnfitError(str(error)) from error


def _step(form: StepForm) -> Reply:
    _require_same_versions(form.versions)
    if lacking := _lacking(form.needs):
        return Reply(status="lacking", lacking=lacking)
    for mark, holders in form.helps.items():  # the furthest first: one is enough
        if fetch(mark, map(reach, holders)):
            break
    network = form.network.network()
    try:
        planner, networks = _planner(form.making.model_dump_json())
    except _AbsentError:
        return Reply(status="lacking", lacking=(form.making.samples.mark,))
    networks[network.name] = network
    step = Step(form.kind, form.key, "", network.name, form.chain, form.epochs)
    folder = _require_same_key(step, planner)
    reply = carry_out(step, planner, Silent())
    hashed(folder)  # now, so that later damage is noticed by who fetches it
    return reply


def _lacking(needs: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(mark for mark, holders in needs.items() if not fetch(mark, map(reach, holders)))


class _AbsentError(Exception):
    """The samples are not on this machine."""


@lru_cache(maxsize=1)
def _planner(text: str) -> tuple[Planner, dict[str, NetworkSource]]:
    """One for many steps: samples are read once."""
    form = MakingForm.model_validate_json(text)
    found = samples.found(form.samples, Silent())
    if found is None:
        raise _AbsentError
    networks: dict[str, NetworkSource] = {}
    return Planner(form.making(), networks, Silent(), found), networks


def _require_same_key(step: Step, planner: Planner) -> Path:
    """Where the step's outcome goes here, if that is named as it is at the client.

    Raises:
        UsageError: samples, plug-ins or options decide otherwise here.
    """
    key, folder = planner.baseline(step.network)
    if step.chain != "none":
        last = planner.stages(step.network, parse_chain(step.chain), step.epochs)[-1]
        key, folder = last.key, last.folder
    if step.key.removeprefix("judged-") != key:
        message = (
            f"{step.title} has a different key on this worker than on the client: "
            "install the same versions of all plug-ins on all machines."
        )
        raise UnfitError(message)
    return folder


def _timed(form: TimedForm) -> Reply:
    _require_same_versions(form.versions)
    if lacking := _lacking(form.needs):
        return Reply(status="lacking", lacking=lacking)
    measuring = Measuring(
        threads=form.threads, min_count=form.min_count, min_seconds=form.min_seconds, seed=form.seed
    )
    files = [shipped_file(place_of(mark).parent) for mark in form.files]
    return Reply(status="done", times=time_files(files, measuring, Silent()))
