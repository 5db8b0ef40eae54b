"""Tab completion is installed by a command."""

import shutil
import subprocess

import pytest

PLACES = {
    "bash": ".local/share/bash-completion/completions/mlbench",
    "zsh": ".zfunc/_mlbench",
    "fish": ".config/fish/completions/mlbench.fish",
}


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "SHELL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("shell", PLACES)
def test_the_script_is_written_where_the_shell_looks(command_line, tmp_path, shell):
    code, told, _ = command_line("completion", shell, "--install")
    assert code == 0
    written = tmp_path / PLACES[shell]
    assert f"{written}" in told
    assert written.read_text().strip() == command_line("completion", shell)[1].strip()
    assert "_MLBENCH_COMPLETE" in written.read_text()


def test_the_shell_is_that_of_the_user(command_line, tmp_path, monkeypatch):
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert command_line("completion", "--install")[0] == 0
    assert (tmp_path / PLACES["fish"]).exists()


def test_another_shell_is_told(command_line, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    code, _, told = command_line("completion", "--install")
    assert (code, told) == (2, "Error: $SHELL is tcsh: name the shell, as `mlbench completion bash`.\n")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_understands_the_script(command_line):
    script = command_line("completion", "bash")[1]
    done = subprocess.run(
        [shutil.which("bash"), "-c", script + "\ncomplete -p mlbench"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "mlbench" in done.stdout
