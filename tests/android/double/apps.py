"""What happens on the double when the app is started: the real classes on a JVM, or a way to go wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ..jvm.jvm_host import JvmHost
from .phone import App, lines_of

#: What `am instrument -r` prints when the process is gone.
CRASHED = "INSTRUMENTATION_RESULT: shortMsg=Process crashed.\nINSTRUMENTATION_CODE: 0\n"


def on_jvm(jvm: JvmHost) -> App:
    """The app's own classes."""

    def app(arguments: dict[str, str], external: Path, say: Callable[[str], None]) -> None:
        for event in jvm.request("instrument", arguments=arguments, external=str(external)):
            say(lines_of(event))

    return app


def killed(at: str, model_bytes: int, otherwise: App) -> App:
    """Killed by the system at a stage where the network is larger than `model_bytes`, as on a small phone."""

    def app(arguments: dict[str, str], external: Path, say: Callable[[str], None]) -> None:
        config = Path(arguments["config"])
        asked = json.loads(config.read_text())
        if (config.parent / asked["model"]).stat().st_size <= model_bytes:
            otherwise(arguments, external, say)
            return
        folder = external / asked["run"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "stage.txt").write_text(at)
        say(f"INSTRUMENTATION_STATUS: progress={at}\nINSTRUMENTATION_STATUS_CODE: 1\n")
        say(CRASHED)

    return app


def leaving(change: Callable[[bytes], bytes], otherwise: App, file: str = "result.json") -> App:
    """The app's run, whose result is then changed."""

    def app(arguments: dict[str, str], external: Path, say: Callable[[str], None]) -> None:
        said: list[str] = []
        otherwise(arguments, external, said.append)
        path = external / json.loads(Path(arguments["config"]).read_text())["run"] / file
        path.write_bytes(change(path.read_bytes()))
        for text in said:
            say(text)

    return app
