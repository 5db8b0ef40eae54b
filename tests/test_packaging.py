"""What is installed: `mlbench` alone at the top, with all that it reads, beside whatever modules its user has."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: What a user may well have in the folder where mlbench is started, each under a name of the repository.
_MODULES = (
    "models.py",
    "reports/__init__.py",
    "variants/__init__.py",
    "compressors/__init__.py",
    "device_runners.py",
)

_BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])('made'))"


def _run(*command, cwd, **environment):
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": ""} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    """A folder with what builds, as pyproject.toml asks."""
    folder = tmp_path_factory.mktemp("backend")
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    done = _run(sys.executable, "-m", "pip", "install", "-q", "--target", folder, *asked, cwd=folder)
    if done.returncode:
        pytest.skip(f"{', '.join(asked)} cannot be fetched: {done.stderr[-200:]}")
    return folder


@pytest.fixture(scope="module")
def build(backend):
    def build(source, kind):
        """The file that is built of a folder of sources; `kind` is a hook of PEP 517."""
        done = _run(sys.executable, "-c", _BUILD, kind, cwd=source, PYTHONPATH=str(backend))
        assert done.returncode == 0, done.stderr
        return source / "made" / done.stdout.split()[-1]

    return build


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what the repository holds, links as links: building writes beside the sources."""
    listed = _run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT)
    if listed.returncode:
        pytest.skip("this is no checkout of the repository")
    folder = tmp_path_factory.mktemp("packaging") / "checkout"
    for name in filter(os.path.lexists, (ROOT / line for line in listed.stdout.splitlines())):
        target = folder / name.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, target, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout, build):
    return build(checkout, "build_wheel")


def _names(path: Path) -> set[str]:
    """Files of a wheel or an sdist."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as file:
            return {name for name in file.namelist() if not name.endswith("/")}
    with tarfile.open(path) as file:
        return {member.name.partition("/")[2] for member in file if not member.isdir()}


def _package_of(folder: Path) -> set[str]:
    """Files of the package, links followed."""
    linked = [path for path in (folder / "mlbench").iterdir() if path.is_dir()]
    inside = [path for top in linked for path in top.rglob("*")] + list((folder / "mlbench").glob("*"))
    return {path.relative_to(folder).as_posix() for path in inside if path.is_file()}


def test_the_wheel_holds_the_whole_package_and_nothing_beside_it(wheel, checkout):
    names = _names(wheel)
    assert {name.split("/")[0] for name in names} == {"mlbench", "mlbench-0.1.0.dist-info"}
    assert {name for name in names if name.startswith("mlbench/")} == _package_of(checkout)
    for read in (
        "models/basic.tflite",
        "faces/appearance.npz",
        "reports/html/page.css",
        "py.typed",
        "runs/__init__.py",
    ):
        assert f"mlbench/{read}" in names


def test_an_sdist_builds_the_same_wheel(checkout, wheel, build, tmp_path):
    sdist = build(checkout, "build_sdist")
    tops = {name.split("/")[0] for name in _names(sdist)}
    assert tops == {
        "mlbench",
        "mlbench.egg-info",
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
        "setup.cfg",
        "MANIFEST.in",
    }
    with tarfile.open(sdist) as file:
        file.extractall(tmp_path, filter="data")
    assert _names(build(tmp_path / "mlbench-0.1.0", "build_wheel")) == _names(wheel)


def test_what_is_uploaded_is_in_order(wheel, checkout, build):
    pytest.importorskip("twine", reason="twine is not installed: pip install -e '.[dev]'")
    files = wheel, build(checkout, "build_sdist")
    done = _run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def test_pins_hold_what_the_extras_of_builds_ask_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    names = {re.split(r"[<>=\[ ]", one)[0].lower().replace("_", "-") for one in asked} - {
        "mlbench",
        "setuptools",
    }
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert names - {pin.partition("==")[0].lower().replace("_", "-") for pin in pins} == set()


def test_an_editable_install_offers_mlbench_alone(checkout, build):
    with zipfile.ZipFile(build(checkout, "build_editable")) as file:
        finder = next(file.read(name).decode() for name in file.namelist() if name.endswith("_finder.py"))
    tree = ast.parse(finder)
    (mapping,) = (
        node.value for node in tree.body if isinstance(node, ast.AnnAssign) and node.target.id == "MAPPING"
    )
    assert ast.literal_eval(mapping) == {"mlbench": str(checkout / "mlbench")}


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs Python with the wheel installed, in a folder of modules named as folders of the repository."""
    site, here = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("user")
    asked = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel]
    assert _run(*asked, cwd=here).returncode == 0
    for name in _MODULES:
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text("WHOSE = 'the user'\n")

    def python(*arguments):
        return _run(
            sys.executable, *arguments, cwd=here, PYTHONPATH=str(site), MLBENCH_CACHE=str(here / "cache")
        )

    return python, site, here


def test_modules_of_the_user_stay_his(installed):
    python, site, _ = installed
    names = [name.split(".")[0].split("/")[0] for name in _MODULES]
    lines = [f"import {name}, mlbench.{name}; print({name}.WHOSE, mlbench.{name}.__file__)" for name in names]
    done = python("-c", "\n".join(lines))
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(f"the user {site}") for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) == len(_MODULES)


@pytest.mark.slow
def test_it_lists_measures_and_reports_beside_them(installed):
    python, site, here = installed
    listed = python("-c", "from mlbench.cli import main; main()", "list")  # the folder is on the path here
    assert listed.returncode == 0, listed.stderr
    assert all(name in listed.stdout for name in ("two_pool", "tucker", "android"))
    model = site / "mlbench" / "models" / "basic.tflite"
    quick = ["--no-pipeline", "--min-count", "20", "--min-seconds", "0.05"]
    measured = python(site / "bin" / "mlbench", "measure", model, *quick)
    assert measured.returncode == 0, measured.stderr
    assert "MAE" in measured.stdout
    record = next((here / "runs").glob("*/record.json"))
    reported = python(site / "bin" / "mlbench", "report", record, "-o", "page.html")
    assert reported.returncode == 0, reported.stderr
    assert "vega" in (here / "page.html").read_text()


def test_without_a_checkout_the_app_is_refused_in_one_sentence(installed):
    python, site, _ = installed
    done = python(site / "bin" / "mlbench", "android", "build")
    assert done.returncode == 2
    assert "needs a checkout of mlbench's repository" in done.stderr
    assert len(done.stderr.splitlines()) == 1
