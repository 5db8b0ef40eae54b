"""Another's package: a task, a network and a compressor that join by entry points alone, from training to the page."""

import html
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlbench import plugins
from mlbench.records import read_record
from mlbench.testing import NETWORKS, check_compressor, check_network_source, check_task

_PACKAGE = Path(__file__).parent / "examples" / "counting"


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """The package as pip installs it, in a folder of its own on the path; its module."""
    source, site = (tmp_path_factory.mktemp(name) for name in ("source", "site"))
    shutil.copytree(_PACKAGE, source, dirs_exist_ok=True)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--no-index", "--target", site, source], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site))
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.syspath_prepend(site)
        plugins.forget()
        yield importlib.import_module("blob_counting")
    plugins.forget()
    sys.modules.pop("blob_counting", None)


@pytest.fixture
def mlbench(stranger, command_line):
    """A command's exit code and standard output."""

    def run(*arguments):
        code, out, err = command_line(*arguments)
        print(err, file=sys.stderr)  # for people who read a failure
        return code, out

    return run


def _written(stranger, path, seed, count=400):
    images, counts = stranger.drawn(count, np.random.default_rng(seed))
    np.savez(path, x=images, y=counts)
    return path


def test_its_plug_ins_are_listed(mlbench):
    for kind, words in {
        "tasks": ("counting", "count_error"),
        "variants": ("blobnet", "a small residual network"),
        "compressors": ("halve", "Han et al. 2015"),
    }.items():
        _, out = mlbench("list", kind, "--json")
        assert all(word in out for word in words)


def test_from_its_samples_to_table_record_page_and_comparison(mlbench, stranger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = _written(stranger, tmp_path / "blobs.npz", 1)
    asked = ["--task", "counting", "--variant", "blobnet", "--data", data]
    few = ["--min-count", 20, "--min-seconds", 0.05]
    quick = ["--epochs", 6, "--tune-epochs", 1, "--batch", 32, "--rate", 3e-3]
    wanted = ["--compress", "halve+dynamic", "--budget", "exact=-100pp", "--budget", "count_error=0.001blobs"]
    code, out = mlbench("run", *asked, *quick, *few, *wanted)
    assert code == 0
    for word in ("halve+dynamic", "exact counts, %", "count error, blobs", "exact=-100pp", "does not fit"):
        assert word in out
    [path] = Path("runs").glob("blobnet-*/record.json")
    _require_record(read_record(path))
    _require_page(Path("runs/report.html").read_text(encoding="utf-8"))
    smaller, larger = sorted(path.parent.glob("*.tflite"), key=lambda file: file.stat().st_size)
    tested = ["--measure", "--task", "counting", "--data", _written(stranger, tmp_path / "few.npz", 2, 40)]
    conditions = ["--fail-if", "size > 0%", "--fail-if", "exact > 100pp"]
    code, out = mlbench("compare", smaller, larger, *tested, *few, *conditions)
    assert code == 1
    assert re.search(r"│ exact +│ few, host", out)


def _require_record(record):
    assert record.task.name == "counting"
    assert [(metric.name, metric.unit, metric.better) for metric in record.task.metrics] == [
        ("exact", "%", "higher"),
        ("count_error", "blobs", "lower"),
    ]
    baseline, halved = record.artifacts
    assert halved.parameters < baseline.parameters
    assert {change.layer for change in record.stages[halved.id][1].changes if not change.note} == {"hidden"}
    assert all(set(scores.metrics) == {"exact", "count_error"} for scores in record.scores)
    fits = {(verdict.artifact, verdict.quantity): verdict.fits for verdict in record.budgets}
    assert fits[halved.id, "exact"]
    assert not fits[halved.id, "count_error"]
    for shown in record.gallery.chosen:
        assert shown.png_base64
        assert all("blob" in text for text in (shown.truth, shown.answers[halved.id]))


def _require_page(page):
    told = html.unescape(re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL))
    assert "exact counts" in told
    assert "count error" in told
    assert not re.search(r"\b(faces?|landmarks?|crops?|px|persons?)\b", told)


def test_its_plug_ins_pass_the_checks(stranger):
    check_task(stranger.Counting)
    check_network_source(stranger.BLOBNET)
    check_compressor(stranger.Halve)


def test_a_fault_in_a_plug_in_is_told_by_the_check_that_finds_it(stranger):
    class Changing(stranger.Halve):
        name = "changing"

        def compress(self, form, context):
            layer = form.network.layers[-1]
            layer.set_weights([2 * weight for weight in layer.get_weights()])
            return super().compress(form, context)

    with pytest.raises(AssertionError, match="the given network has other weights"):
        check_compressor(Changing, {"sequential": NETWORKS["sequential"]})
