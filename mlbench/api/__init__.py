"""mlbench from Python: what the commands of the same names do, for networks and samples in memory too.

Options are those of the command by their names, as `mlbench run --help` and `mlbench list options` show them:
`tune_epochs=5` is `--tune-epochs 5`. Nothing is printed unless `progress=True`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbench.api.arrays import Data, path_of
from mlbench.api.options import parameters
from mlbench.api.result import Layers, Result

if TYPE_CHECKING:
    from mlbench.contracts import NetworkSource

__all__ = ["Data", "Layers", "Result", "inspect", "measure", "run"]

#: Test sets: files or folders, or samples in memory by name.
Tests = str | Path | Sequence[str | Path] | Mapping[str, Data]


def run(
    model: str | Path | object,
    data: Data | None = None,
    *,
    compress: str | Sequence[str] = "svd",
    test: Tests = (),
    progress: bool = False,
    **options: Any,
) -> Result:
    """Compress a network, and measure it and what was made of it; see `mlbench run`.

    Args:
        model: a `.keras` or `.h5` file, `package.module:function`, a network of Keras 3 or tf_keras, or the name of a
            variant.
        data: a file or folder of samples; or `(x, y)`, or a mapping with `x`, `y` and, optionally, `group`, `split`
            and `id`, arrays with an entry per sample. Several inputs or targets are mappings by name.
        compress: chains of compressors.
        test: further samples to test on.
        progress: whether to tell on standard error how far it is.
        options: of the command: `task`, `epochs`, `tune_epochs`, `budget`, `device`, `threads`, `seed`, `out`, …

    Raises:
        UsageError: bad input, in one sentence.
    """
    from mlbench.cli.output import progress_bars
    from mlbench.cli.run import plan_of
    from mlbench.cli.run import run as command
    from mlbench.search.engine import filling

    named, networks = _network(model)
    given = {"data": None if data is None else path_of(data), "test": _files(test), "compress": compress}
    with parameters(command, {**given, **named, **options}, quiet=not progress) as found:
        plan = replace(plan_of(networks=networks, **found), command=("mlbench.run",))
        (finished,) = filling.run(plan, progress_bars())
    return Result.of(finished.record, finished.folder)


def measure(
    files: str | Path | Sequence[str | Path], data: Tests = (), *, progress: bool = False, **options: Any
) -> Result:
    """Measure `.tflite` files side by side; the first is the baseline of the differences; see `mlbench measure`.

    Args:
        files: to measure.
        data: test samples; none: inputs are random, and nothing is tested.
        progress: whether to tell on standard error how far it is.
        options: of the command: `task`, `device`, `threads`, `min_count`, `budget`, …

    Raises:
        UsageError: bad input, in one sentence.
    """
    from mlbench.cli.measure import measure as command
    from mlbench.cli.measure import measure_files

    given = {"data": _files(data), **options}
    with parameters(command, given, _files(files), quiet=not progress) as found:
        del found["as_json"]
        finished = measure_files(**found)
    return Result.of(finished.record, finished.folder)


def inspect(
    model: str | Path | object, data: Data | None = None, *, progress: bool = False, **options: Any
) -> Layers:
    """Look at a model layer by layer; see `mlbench inspect`.

    Args:
        model: a `.tflite` file, or a network as `run` takes it.
        data: samples, as `run` takes them, to measure what each layer's compression alone costs; None: it is not.
        progress: whether to tell on standard error how far it is.
        options: of the command: `task`, `technique`, `ratio`, `max_samples`, `threads`, …

    Raises:
        UsageError: bad input, in one sentence.
    """
    from mlbench.cli.inspect import inspect as command
    from mlbench.cli.inspect import inspected

    named, networks = _network(model)
    given = {"data": None if data is None else path_of(data), "variant": named.get("variant"), **options}
    with parameters(
        command, given, [named["model"]] if "model" in named else [], quiet=not progress
    ) as found:
        del found["out"], found["as_json"]
        return Layers.model_construct(**dict(inspected(network=next(iter(networks), None), **found)))


def _files(given: Tests) -> list[str]:
    """Files by their names; samples in memory become such."""
    if isinstance(given, Mapping):
        return [str(path_of(samples, name)) for name, samples in given.items()]
    return [str(path) for path in ([given] if isinstance(given, (str, Path)) else given)]


def _network(model: object) -> tuple[dict[str, Any], tuple[NetworkSource, ...]]:
    """A network as an option of the command, or itself where it is in memory."""
    from mlbench import plugins
    from mlbench.networks.importing import source_of

    if not isinstance(model, (str, Path)):
        return {}, (source_of(model),)
    kind = "variant" if model in plugins.names("variants") else "model"
    return {kind: str(model)}, ()
