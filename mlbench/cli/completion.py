"""`mlbench completion`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mlbench.errors import UsageError

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="\b\nExamples:\n  mlbench completion --install\n  mlbench completion zsh --install\n"
    "  mlbench completion bash"
)
@click.argument("shell", required=False, type=click.Choice(_SHELLS))
@click.option("--install", is_flag=True, help="Write the script to where the shell looks for it.")
@click.pass_context
def completion(context: click.Context, shell: str | None, install: bool) -> None:
    """Print or install the script for tab completion in SHELL, by default that of $SHELL."""
    shell = shell or _own_shell()
    script = _script(context.find_root().command, shell)
    if not install:
        click.echo(script)
        return
    from mlbench.system.files import require_writable, write_atomically

    place = _place(shell)
    require_writable(place)
    with write_atomically(place) as part:
        part.write_text(script, encoding="utf-8")
    click.echo(f"Written: {place}. {_NEXT[shell]}")


#: What is left to do, by shell.
_NEXT = {
    "bash": "Start a new shell. The package bash-completion must be installed.",
    "zsh": "If ~/.zshrc lacks it, add `fpath+=~/.zfunc; autoload -Uz compinit; compinit`. Start a new shell.",
    "fish": "Start a new shell.",
}


def _own_shell() -> str:
    found = Path(os.environ.get("SHELL", "")).name
    if found not in _SHELLS:
        message = f"$SHELL is {found or 'not set'}: name the shell, as `mlbench completion {_SHELLS[0]}`."
        raise UsageError(message)
    return found


def _script(command: click.Command, shell: str) -> str:
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 (click has all three)
    return kind(command, {}, "mlbench", "_MLBENCH_COMPLETE").source()


def _place(shell: str) -> Path:
    """Where a shell looks for a user's completions."""
    home = Path.home()
    if shell == "zsh":
        return home / ".zfunc" / "_mlbench"
    if shell == "fish":
        return (
            Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
            / "fish"
            / "completions"
            / "mlbench.fish"
        )
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return data / "bash-completion" / "completions" / "mlbench"
