"""All checks of plug-ins, for pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mlbench.contracts import Compressor, NetworkSource, Task
from mlbench.testing.compressor_checks import compressor_checks
from mlbench.testing.source_checks import source_checks
from mlbench.testing.task_checks import task_checks

Plugin = type[Compressor] | type[Task] | NetworkSource


def checks_of(plugin: Plugin) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Every check of a plug-in, by name, with the usual networks, samples and shapes.

    Raises:
        TypeError: it is neither a class of `Compressor` or `Task` nor a `NetworkSource`.
    """
    if isinstance(plugin, NetworkSource):
        return source_checks()
    if isinstance(plugin, type) and issubclass(plugin, Task):
        return task_checks()
    if isinstance(plugin, type) and issubclass(plugin, Compressor):
        return compressor_checks(plugin)
    message = f"{plugin!r} is neither a class of Compressor or Task nor a NetworkSource"
    raise TypeError(message)


def parametrize_with_checks(plugins: Iterable[Plugin]) -> Any:
    """A decorator that makes a test of each check of each plug-in.

    It asks pytest for a test's arguments `plugin` and `check`::

        @parametrize_with_checks([Halve, Counting, BLOBNET])
        def test_contract(plugin, check):
            check(plugin)
    """
    import pytest

    cases = [
        pytest.param(plugin, check, id=f"{plugin.name}-{name}")
        for plugin in plugins
        for name, check in checks_of(plugin)
    ]
    return pytest.mark.parametrize(("plugin", "check"), cases)
