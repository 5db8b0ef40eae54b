"""How one machine of a cluster asks another: through what Dask's workers answer each other, beside any step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlbench.search.engine.transport import Ask

if TYPE_CHECKING:
    from distributed import Client


def reach(address: str) -> Ask:
    """A way for the step that a worker carries out to ask another worker.

    Its functions run beside the steps of that worker, so that a long one keeps nobody waiting.
    """
    from distributed import get_worker
    from distributed.core import clean_exception
    from distributed.protocol.pickle import dumps
    from distributed.utils import sync

    worker = get_worker()

    async def asked(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        packed = {"function": function, "args": arguments, "kwargs": {}}
        answer = await worker.rpc(address).run(**{name: dumps(one) for name, one in packed.items()})
        if answer["status"] == "OK":
            return answer["result"]
        raise clean_exception(**answer)[1] or OSError(f"{address} does not answer")

    def ask(function: Callable[..., Any], *arguments: Any) -> Any:
        return sync(worker.loop, asked, function, arguments)

    return ask


def own_address() -> str:
    """The address of the worker that carries out this step; "" in no worker."""
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:
        return ""


def reach_from(client: Client, address: str) -> Ask:
    """A way for a client to ask a worker, through the scheduler: workers need not be in its reach."""

    def ask(function: Callable[..., Any], *arguments: Any) -> Any:
        answers = client.run(function, *arguments, workers=[address])
        if address not in answers:
            message = f"{address} does not answer"
            raise OSError(message)
        return answers[address]

    return ask
