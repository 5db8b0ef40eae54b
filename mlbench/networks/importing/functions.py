"""Networks that a user's own code makes, and networks of Keras 3 in memory."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from mlbench.errors import UsageError
from mlbench.system.quiet import quiet_tensorflow

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SEED = 7


def is_function(text: str) -> bool:
    """Whether a text is `package.module:function`, and no file is called so."""
    return _FUNCTION.fullmatch(text) is not None and not Path(text).exists()


def called(text: str) -> Any:
    """What a function gives; its random numbers are seeded, so that it gives the same network every time.

    Raises:
        UsageError: there is none, or it failed.
    """
    quiet_tensorflow()
    import tf_keras

    module, _, name = text.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function: Any = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        if not callable(function):
            message = f"{text} is not a function: give package.module:function that returns a network."
            raise UsageError(message)
        tf_keras.utils.set_random_seed(_SEED)
        return function()
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error}, {Path(where.filename).name} line {where.lineno}"
        message = f"{text} gave no network ({told}): give package.module:function without arguments."
        raise UsageError(message) from error
    finally:
        sys.path.remove(str(Path.cwd()))


def is_of_keras3(model: Any) -> bool:
    """Whether a value is a network of Keras 3."""
    return any(
        base.__module__.partition(".")[0] == "keras" and base.__name__ == "Model"
        for base in type(model).__mro__
    )


def saved(model: Any, path: Path, told: str) -> None:
    """Write a network of Keras 3 to a file.

    Raises:
        UsageError: it has no weights yet, or Keras cannot write it.
    """
    try:
        model.save(path)
    except Exception as error:  # Keras raises nearly anything
        message = (
            f"{told} gave a network that Keras cannot save ({error}): build it of Input and plain layers."
        )
        raise UsageError(message) from error
