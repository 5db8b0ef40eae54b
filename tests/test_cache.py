"""The cache: two processes that want the same step do it once, and one that dies holds up nobody."""

import subprocess
import sys
import threading

import pytest

from mlbench.errors import UsageError
from mlbench.system.cache import one_at_a_time
from mlbench.system.progress import Silent

_HOLDING = """
import sys, time
from pathlib import Path
from mlbench.system.cache import one_at_a_time
from mlbench.system.progress import Silent
with one_at_a_time(Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(600)
"""


class _Heard(Silent):
    """Remembers that it was told something."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.told = threading.Event()

    def say(self, text: str) -> None:
        self.texts.append(text)
        self.told.set()


def test_the_second_waits_says_so_and_finds_the_work_done(tmp_path):
    folder, done, heard = tmp_path / "basic-1a2b", tmp_path / "done", _Heard()
    seen = []

    def second() -> None:
        with one_at_a_time(folder, heard.say):
            seen.append(done.exists())

    with one_at_a_time(folder, print):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert heard.told.wait(60)
        assert not seen
        done.touch()
    waiting.join(60)
    assert seen == [True]
    assert heard.texts == ["Another mlbench is at work on basic-1a2b: waiting for it …"]


def test_a_process_that_was_killed_holds_up_nobody(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    heard = _Heard()
    with one_at_a_time(tmp_path, heard.say):
        assert not heard.texts


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    message = r"cannot be written: Not a directory; choose another place by \$MLBENCH_CACHE"
    with pytest.raises(UsageError, match=message), one_at_a_time(tmp_path / "file" / "basic-1", print):
        pytest.fail("unreachable")
