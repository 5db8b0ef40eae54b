"""The example of a GitHub Action: its steps, run as they stand in a repository with a pull request."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.small_files import classifying

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: pip install -e '.[test]'")

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "gate.yml"
STEPS = {
    step["name"]: step
    for step in yaml.safe_load(EXAMPLE.read_text())["jobs"]["gate"]["steps"]
    if "run" in step
}
SMALL = "--no-pipeline --min-count 80 --min-seconds 0.05"  # a verdict takes eight rounds


@pytest.fixture
def pull_request(tmp_path, monkeypatch):
    """A checkout with the network before on origin/main; the test makes the one after."""
    if shutil.which("git") is None or shutil.which("bash") is None:
        pytest.skip("no git or no bash here")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(7)
    np.savez(
        tmp_path / "test.npz", x=rng.normal(size=(200, 16)).astype(np.float32), y=rng.integers(0, 3, 200)
    )
    (tmp_path / "network.tflite").write_bytes(classifying())
    git = [shutil.which("git"), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "before"]):
        subprocess.run([*git, *words], check=True)
    subprocess.run([*git, "update-ref", "refs/remotes/origin/main", "HEAD"], check=True)
    return tmp_path


def _step(name):
    """A step as GitHub runs it; the exit code."""
    step = STEPS[name]
    text = step["run"].replace("--no-pipeline", SMALL)
    given = {
        key: re.sub(r"\$\{\{ github.base_ref \}\}", "main", value)
        for key, value in step.get("env", {}).items()
    }
    command = [shutil.which("bash"), "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_steps_are_these_and_install_a_wheel():
    assert list(STEPS) == ["Install", "The network before", "Compare", "Report"]
    assert STEPS["Install"]["run"] == 'pip install "$WHEEL"'
    assert re.search(r"/mlbench-[\d.]+-py3-none-any\.whl$", STEPS["Install"]["env"]["WHEEL"])


@pytest.mark.slow
@pytest.mark.parametrize(("units", "code"), [(64, 0), (128, 1)])
def test_an_unchanged_network_passes_and_a_larger_one_fails(pull_request, units, code):
    (pull_request / "network.tflite").write_bytes(classifying(units=units))
    assert _step("The network before")[0] == 0
    assert (pull_request / "before.tflite").read_bytes() == classifying()
    found, told = _step("Compare")
    assert found == code, told
    assert ("Failed: size > 1%" in told) == bool(code)
    assert _step("Report")[0] == 0
    assert "vega" in (pull_request / "report.html").read_text()
