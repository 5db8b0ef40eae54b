"""Studies in PostgreSQL, and databases that are away."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from mlbench.errors import UsageError
from mlbench.search import storage
from mlbench.search.searching import Limits, Search
from mlbench.search.study import Study
from tests.search.doubles import Looked, formula
from tests.search.test_study import AIM, _space, _study


@dataclass
class Server:
    """A PostgreSQL of its own, on loopback."""

    folder: Path
    port: int
    user: list[str]  # what runs a command as a user who is not root

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://tester:secret@127.0.0.1:{self.port}/postgres"

    def control(self, *arguments: str) -> None:
        options = ["-D", str(self.folder), "-w", "-o", f"-p {self.port} -k {self.folder} -c fsync=off"]
        command = [*self.user, _program("pg_ctl"), *options, "-l", str(self.folder / "log"), *arguments]
        subprocess.run(command, check=True, capture_output=True)


def _program(name: str) -> str:
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None
    )
    return found or pytest.skip(f"no {name} of PostgreSQL: apt install postgresql")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="no psycopg: pip install -e '.[cluster]'")
    program = _program("initdb")
    # Not in pytest's folder, which no other user may enter; the path of a socket must be short, too.
    with tempfile.TemporaryDirectory(prefix="mlbench-") as folder:
        yield from _served(program, Path(folder))


def _served(program: str, folder: Path) -> Iterator[Server]:
    user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses root
        setpriv = shutil.which("setpriv") or pytest.skip("no setpriv: PostgreSQL refuses to run as root")
        user = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
        os.chown(folder, 65534, 65534)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = Server(folder / "data", port, user)
    command = [*user, program, "-D", str(data.folder), "-U", "tester", "-A", "trust", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True)
    data.control("start")
    yield data
    data.control("stop", "-m", "immediate")


def test_a_study_lives_in_postgres_and_goes_on(server):
    for trials in (5, 8):
        study, engine = Study(server.url, "goes on", _space(), 2, "tpe", 7, print), Looked(formula)
        found = Search(study, engine, AIM, 4).run(Limits(trials), lambda seen: None)
        study.close()
        assert len(found.rows) == trials
    assert len({row.candidate for row in found.rows}) == 8


def test_two_clients_ask_different_candidates(server):
    clients = [Study(server.url, "two clients", _space(), 2, "tpe", 7 + n, print) for n in range(2)]
    found = {}

    def work(place: int) -> None:
        found[place] = Search(clients[place], Looked(formula), AIM, 4).run(Limits(12), lambda seen: None)
        clients[place].close()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = Study(server.url, "two clients", _space(), 2, "tpe", 7, print)
    rows = study.rows()
    study.close()
    assert 12 <= len(rows) <= 13  # both may ask the last one at once
    assert all(row.state in ("complete", "stopped") for row in rows)


def test_a_server_that_is_away_for_a_while_loses_nothing(server):
    told = []
    study, engine = Study(server.url, "away", _space(), 2, "tpe", 7, told.append), Looked(formula)
    server.control("stop", "-m", "fast")
    threading.Timer(3, server.control, args=("start",)).start()
    found = Search(study, engine, AIM, 4).run(Limits(5), lambda seen: None)
    study.close()
    assert len(found.rows) == 5
    assert any("cannot be reached" in line for line in told)
    assert not any("secret" in line for line in told)


def test_a_server_that_stays_away_ends_the_search_in_one_sentence(server, monkeypatch):
    monkeypatch.setattr(storage, "PATIENCE_S", 1.0)
    study = Study(server.url, "stays away", _space(), 2, "tpe", 7, print)
    server.control("stop", "-m", "fast")
    try:
        with pytest.raises(
            UsageError, match=r"could not be reached for 1 s .*the same command again"
        ) as error:
            study.ask()
        assert "secret" not in str(error.value)
    finally:
        server.control("start")


def test_a_moment_without_the_database_is_waited_for(tmp_path, monkeypatch):
    study, failures = _study(tmp_path), iter([True, True])
    session, lost = study._database.scoped_session, OperationalError("", {}, Exception("connection lost"))

    def away():
        if next(failures, False):
            raise lost
        return session()

    monkeypatch.setattr(study._database, "scoped_session", away)
    started = time.monotonic()
    assert study.ask() is not None
    assert time.monotonic() > started
    assert next(failures, None) is None
    study.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "--study is not the URL of a database"),
        ("oracle9://user@host/db", "the driver is not installed"),
        ("sqlite:////proc/none/study.db", "cannot be opened"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_sentence(url, told):
    with pytest.raises(UsageError) as error:
        Study(url, "none", _space(), 2, "tpe", 7, print)
    assert told in str(error.value)
