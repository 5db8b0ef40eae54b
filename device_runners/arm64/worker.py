"""The emulated process: answers samples, a JSON line in, a JSON line out. It tells no time and no memory.

It is started as a file, in an emulated Python that has numpy and LiteRT alone. It writes a line once it is ready.
"""

import json
import sys
from typing import Any

from mlbench.device_runners.host_worker import Worker, write


def main() -> None:
    """Say that all is imported, then answer until the input ends; a model stays loaded until another is asked for."""
    write({"ready": True})
    model, worker = None, None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if worker is None or request["model"] != model:
                worker, model = _loaded(**request["model"]), request["model"]
            write(worker.predict(**request["predict"]))
        except (RuntimeError, ValueError, OSError, MemoryError) as error:
            write({"error": f"{type(error).__name__}: {error}"})


def _loaded(**model: Any) -> Worker:
    worker = Worker(threads=1, pipeline=None, seed=0, **model)
    worker.load()
    return worker


if __name__ == "__main__":
    main()
