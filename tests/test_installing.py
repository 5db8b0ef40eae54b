"""How to install further packages: commands that hold in a clone, from a wheel and in a uv environment."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from mlbench.system import installing

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]

#: Parts of the program whose messages say how to install something.
TELLING = ("api", "cli", "data", "device_runners", "faces", "reports", "runs", "search", "training")


@pytest.mark.parametrize("extra", ["android", "blazeface", "cluster", "gpu", "mlflow", "prepare"])
def test_what_an_extra_brings_is_named_and_not_mlbench(extra):
    told = installing.install_extra(extra)
    assert told.startswith(f"{sys.executable} -m pip install ")
    packages = told.partition(" install ")[2]
    assert "mlbench" not in packages
    assert re.findall(r"[\w.-]+(?:\[[\w-]+\])?(?=>=)", packages) == [
        spec.partition(">=")[0] for spec in EXTRAS[extra]
    ]


def test_a_package_is_asked_for_in_the_versions_that_fit():
    assert installing.install("tf-keras").endswith(" install 'tf_keras>=2.20'")
    assert "'opencv-python-headless" in installing.install("opencv_python_headless")
    assert installing.install("pillow-heif").endswith(" install pillow-heif")


def test_an_environment_without_pip_is_told_of_uv(monkeypatch):
    monkeypatch.setattr(installing, "find_spec", lambda name: None)
    assert installing.install_extra("android") == f"uv pip install --python {sys.executable} 'adbutils>=2.8'"


@pytest.mark.parametrize("package", TELLING)
def test_messages_take_the_command_from_one_place(package):
    files = list((ROOT / "mlbench" / package).rglob("*.py"))
    assert files
    written = [path.name for path in files if "pip install" in path.read_text(encoding="utf-8")]
    assert written == []


def test_what_an_extra_asks_for_too_is_installed_as_mlbench_itself_asks_for_it():
    assert "and-cuda" not in installing.install("tensorflow")
    assert "and-cuda" in installing.install_extra("gpu")


def test_the_documentation_installs_nothing_that_an_index_calls_mlbench():
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "docs").rglob("*.yml"),
    ]
    asked = r"(?:pip3?|pipx|uv tool) install (?:-\S+ )*[\"']?mlbench(?!-)[^\s@]*(?! @)"
    found = [
        f"{path.name}: {match[0]}"
        for path in pages
        for match in re.finditer(asked, path.read_text(encoding="utf-8"))
    ]
    assert found == []
