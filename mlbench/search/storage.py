"""Where studies are kept: a database that may be away for a while."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from mlbench.errors import UsageError

#: Seconds that the database may be away.
PATIENCE_S = 120.0

_BEAT_S = 20  # between signs of life of a trial's client
_DEAD_S = 120  # without one, until it counts as dead
_FAILURES = (optuna.exceptions.StorageInternalError, SQLAlchemyError)


def shown(url: str) -> str:
    """A URL without its password.

    Raises:
        UsageError: it is none of a database.
    """
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError) as error:
        message = "--study is not the URL of a database: write e.g. postgresql+psycopg://USER@HOST/DATABASE or sqlite:///FILE."
        raise UsageError(message) from error


class PatientStorage(RDBStorage):
    """Optuna's storage; where the database is away, it is asked again for a while."""

    def __init__(self, url: str, revive: Callable[[Any, Any], None], say: Callable[[str], None]) -> None:
        """Open a database, which is made where it is a file.

        Raises:
            UsageError: it cannot be opened.
        """
        self.told, self.say, self.patience_s = shown(url), say, PATIENCE_S
        options: dict[str, Any] = {"pool_pre_ping": True}
        try:
            if url.startswith("sqlite"):
                options["connect_args"] = {"timeout": 60}
                Path(make_url(url).database or "").parent.mkdir(parents=True, exist_ok=True)
            super().__init__(
                url,
                engine_kwargs=options,
                heartbeat_interval=_BEAT_S,
                grace_period=_DEAD_S,
                heartbeat_stale_trial_callback=revive,
            )
        except (NoSuchModuleError, ImportError) as error:
            message = (
                f"--study {self.told}: the driver is not installed ({error}): install it. "
                "mlbench[cluster] has the driver for PostgreSQL."
            )
            raise UsageError(message) from error
        except (*_FAILURES, RuntimeError, OSError) as error:
            message = f"--study {self.told} cannot be opened ({reason(error)}): start the database, or name another."
            raise UsageError(message) from error


def reason(error: BaseException) -> str:
    """The first line of what the database's driver says."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, tried again while the database is away."""

    @functools.wraps(method)
    def tried(self: PatientStorage, *arguments: Any, **named: Any) -> Any:
        end, told = time.monotonic() + self.patience_s, False
        while True:
            try:
                return method(self, *arguments, **named)
            except _FAILURES as error:
                if time.monotonic() > end:
                    waited, self.patience_s = self.patience_s, 0.0  # what follows need not wait again
                    message = (
                        f"The study's database {self.told} could not be reached for {waited:.0f} s ({reason(error)}): "
                        "start it, then give the same command again to continue."
                    )
                    raise UsageError(message) from error
                if not told:
                    self.say(f"The study's database cannot be reached ({reason(error)}): trying again …")
                    told = True
                time.sleep(min(1.0, self.patience_s / 20))

    return tried


#: What opens a transaction of its own.
_TRANSACTIONS = (
    "create_new_study",
    "get_study_directions",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_system_attrs",
    "get_study_user_attrs",
    "get_trial",
    "get_trial_id_from_study_id_trial_number",
    "record_heartbeat",
    "set_study_system_attr",
    "set_study_user_attr",
    "set_trial_state_values",
    "set_trial_system_attr",
    "set_trial_user_attr",
    "_create_new_trial",
    "_get_stale_trial_ids",
    "_get_trials",
    "_set_trial_param",
)
for _name in _TRANSACTIONS:
    setattr(PatientStorage, _name, _patient(getattr(RDBStorage, _name)))
