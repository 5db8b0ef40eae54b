"""Why the app's process died: from the system's log, and from the stage that the app had noted."""

from __future__ import annotations

import re

from mlbench.device_runners.android import facts
from mlbench.device_runners.android.build import PACKAGE
from mlbench.device_runners.android.phone import Phone

#: Stages that the app notes before it begins them.
STAGES = {
    "start": "starting",
    "inputs": "reading its inputs",
    "load": "loading the network",
    "inference": "running the network",
    "detector": "detecting faces",
    "tracked": "following faces",
}

_MAX_LOG_LINES = "2000"


def reason(phone: Phone, started: str, ended: str) -> str:
    """What killed the app, in words.

    Args:
        phone: where it ran.
        started: the phone's time when the run began, as `logcat -T` takes it.
        ended: what `am instrument` said.
    """
    log = phone.run(
        ["logcat", "-d", "-v", "brief", "-t", _MAX_LOG_LINES] if not started else _since(started)
    ).text
    return explain(log) or f"the process ended: {ended}"


def _since(started: str) -> list[str]:
    return ["logcat", "-d", "-v", "brief", "-T", started]


def now(phone: Phone) -> str:
    """The phone's own time, as its log counts; empty where it does not tell."""
    told = phone.run(["date", "+%m-%d %H:%M:%S.000"]).text.strip()
    return told if re.fullmatch(r"\d\d-\d\d \d\d:\d\d:\d\d\.000", told) else ""


def explain(log: str) -> str:
    """The cause of the app's death that a log tells, empty where it tells none."""
    app = re.escape(PACKAGE)
    memory = re.search(rf"(?:lowmemorykiller|lmkd).*Kill(?:ing)? '{app}'.*", log, re.IGNORECASE)
    if memory:
        return f"Android killed the app because memory ran out ({_detail(memory[0])})"
    java = re.search(r"java\.lang\.OutOfMemoryError: .*", log)
    if java:
        return f"memory ran out ({_detail(java[0])})"
    signal = re.search(r"Fatal signal \d+ \((SIG\w+)\).*pid \d+ \((?:io\.)?mlbench\.harness\)", log)
    if signal:
        abort = re.search(r"Abort message: '(.*)'", log)
        said = f": {facts.clean(abort[1])}" if abort else ""
        return f"the app crashed with {signal[1]}{said}"
    died = re.search(rf"Process {app} \(pid \d+\) has died.*", log)
    return f"the process was killed ({_detail(died[0])})" if died else ""


def _detail(line: str) -> str:
    return facts.clean(line.split("): ", 1)[-1])
