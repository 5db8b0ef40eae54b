"""The engine on real networks, in this process; and what is told to workers in place of code."""

import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from mlbench.contracts import Variant
from mlbench.data.sources import Source
from mlbench.errors import UsageError
from mlbench.faces.landmarks import Landmarks
from mlbench.runs.measuring import Measuring
from mlbench.runs.plan import Making
from mlbench.search.engine import forms, open_engine, samples, worker
from mlbench.search.engine.cluster import Descriptions
from mlbench.search.engine.steps import Planner
from mlbench.search.engine.transport import place_of
from mlbench.search.work import Job
from mlbench.system.progress import Silent
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY


class Named(Variant):
    """A kind of network that no package brings."""


@pytest.fixture
def making(faces_file):
    training = TrainingOptions(epochs=1, batch=64, threads=1)
    tuning = TuningOptions(epochs=2, batch=64, threads=1)
    return Making(Source(Landmarks(), faces_file, 0, None, 7), training, tuning)


@pytest.fixture
def planner(making, cache):
    return Planner(making, {"tiny": TINY}, Silent())


@pytest.fixture
def told(planner):
    return Descriptions.of(planner)


def reply_to(text):
    return forms.Reply.model_validate_json(worker.perform(text))


@pytest.mark.slow
def test_jobs_are_judged_untuned_and_go_on_to_their_end(making, cache):
    measuring = Measuring(min_count=20, min_seconds=0.01)
    engine = open_engine(making, {"tiny": TINY}, measuring, progress=Silent())
    jobs = [Job("tiny", "svd(rank=8)", epochs) for epochs in (0, 1, None)]
    jobs += [Job("tiny", "svd(rank=8)+dynamic"), Job("tiny", "none"), Job("tiny", "svd(rank=4000)")]
    found = {}
    for job in jobs:
        engine.submit(job)
        found |= {outcome.job: outcome for outcome in engine.finished(600)}
    untuned, paused, whole, longer, baseline, refused = (found[job] for job in jobs)
    assert [outcome.epochs for outcome in (untuned, paused, whole, longer, baseline)] == [1, 1, 1, 0, 0]
    assert [outcome.complete for outcome in (untuned, paused, whole, longer)] == [False, False, True, True]
    assert whole.metrics["mae"] <= untuned.metrics["mae"]  # epoch 0 is kept where tuning gives nothing
    assert longer.file_bytes < whole.file_bytes < baseline.file_bytes
    assert whole.parameters < baseline.parameters
    assert whole.macs < baseline.macs
    assert "above the rank" in refused.failure
    assert not refused.metrics
    timings = engine.timed([jobs[2], jobs[3]])
    assert len({timing.baseline_p50_ms for timing in timings.values()}) == 1
    assert all(timing.p50_ms > 0 and timing.machine for timing in timings.values())
    engine.close()


def test_what_workers_are_told_gives_the_keys_of_the_client(planner, told, making):
    job = Job("tiny", "svd(rank=8)+dynamic", 1)
    for step in planner.steps(job).steps:
        form = forms.StepForm.model_validate_json(told.step(step, {}))
        there = Planner(form.making.making(), {"tiny": form.network.network()}, Silent())
        again = {one.key: one for one in there.steps(Job("tiny", form.chain, form.epochs)).steps}
        assert again[step.key].mark == step.mark
        assert again[step.key].needs == step.needs
    assert form.making.making().configuration() == making.configuration()


def _changed(text, change):
    told = json.loads(text)
    change(told)
    return json.dumps(told)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["code"], "import os"),
        (["chain"], 7),
        (["kind"], "shell"),
        (["epochs"], -1),
        (["network", "kind"], "module"),
        (["network", "name"], "../tiny"),
        (["network", "blocks"], [{"filters": 10**9, "kernel": 3, "pool": True}]),
        (["making", "samples", "task"], "../task"),
        (["making", "samples", "fingerprint"], "x"),
        (["making", "training", "callback"], "os.system"),
        (["needs"], {"../../etc/passwd": []}),
        (["needs"], {"stages/../x/stage.json": []}),
    ],
)
def test_a_worker_takes_nothing_but_a_step(place, value, planner, told):
    def change(form):
        for part in place[:-1]:
            form = form[part]
        form[place[-1]] = value

    step = planner.steps(Job("tiny", "none")).steps[0]
    reply = reply_to(_changed(told.step(step, {}), change))
    assert reply.status == "failed"
    assert reply.message.startswith("not a step")


def test_a_client_of_another_version_is_refused_by_name(planner, told):
    step = planner.steps(Job("tiny", "none")).steps[0]
    reply = reply_to(_changed(told.step(step, {}), lambda form: form["versions"].update(mlbench="99")))
    assert reply.status == "unfit"
    assert "The client has mlbench 99" in reply.message


def test_a_step_that_has_another_key_here_is_refused(planner, told):
    step = planner.steps(Job("tiny", "none")).steps[0]
    reply = reply_to(told.step(replace(step, key="0" * 16), {}))
    assert reply.status == "unfit"
    assert "different key" in reply.message


def test_samples_that_a_worker_does_not_have_are_asked_for_and_turn_out_the_same(
    planner, told, making, tmp_path, monkeypatch
):
    worker._planner.cache_clear()
    step = planner.steps(Job("tiny", "none")).steps[0]
    elsewhere = _changed(
        told.step(step, {}), lambda form: form["making"]["samples"].update(path="/absent/faces.npz")
    )
    reply = reply_to(elsewhere)
    assert (reply.status, reply.lacking) == ("lacking", (told.making.samples.mark,))
    told.offer(told.making.samples.mark)
    form = told.making.samples.model_copy(update={"path": "/absent/faces.npz"})
    assert samples.found(form, Silent()).fingerprint == planner.material.samples.fingerprint


def test_another_file_of_the_same_name_is_not_taken(told, tmp_path, faces_file):
    other = tmp_path / "faces.npz"
    other.write_bytes(faces_file.read_bytes()[:1000])
    form = told.making.samples.model_copy(update={"path": str(other)})
    assert samples.found(form, Silent()) is None


def test_damaged_samples_are_removed(told, planner):
    told.offer(told.making.samples.mark)
    place = place_of(told.making.samples.mark)
    place.write_bytes(place.read_bytes()[:2000])
    with pytest.raises(UsageError, match="damaged"):
        samples.found(told.making.samples, Silent())
    assert not place.exists()


def test_what_a_step_lacks_is_named(planner, told):
    step = planner.steps(Job("tiny", "svd(rank=8)")).steps[1]
    assert reply_to(told.step(step, {})).lacking == step.needs


def test_a_network_of_a_kind_that_no_package_brings_cannot_be_told():
    with pytest.raises(UsageError, match="cannot be sent to workers"):
        forms.form_of_network(Named("named", "", TINY.blocks))


def test_names_of_networks_cannot_leave_their_folder():
    values = forms.form_of_network(TINY).model_dump()
    with pytest.raises(ValidationError):
        forms.VariantForm(**values | {"name": "a/../../b"})
