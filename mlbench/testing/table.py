"""What each installed compressor does to each of the small networks, in Markdown: `python -m mlbench.testing.table`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from mlbench import plugins
from mlbench.contracts import Compressor
from mlbench.errors import RefusedCompressionError
from mlbench.networks.graph import layers_with_kernel
from mlbench.testing.compressor_checks import TASKS, check_tuning_stays_finite, left, tunable
from mlbench.testing.networks import NETWORKS
from mlbench.testing.trials import Trial, trial


def main() -> None:
    """Print the table, and below it what was left of each network, with the reason."""
    techniques: list[type[Compressor]] = list(plugins.usable("compressors")[0].values())
    print("\n".join([*_table(techniques), "", "What was left as it was, and why:", "", *notes(techniques)]))


def _table(techniques: list[type[Compressor]]) -> Iterator[str]:
    yield f"| chain | {' | '.join(NETWORKS)} |"
    yield "|---" * (1 + len(NETWORKS)) + "|"
    for technique in techniques:
        trials = [trial(technique, build) for build in NETWORKS.values()]
        yield f"| `{trials[0].step.describe()}` | {' | '.join(map(_cell, trials))} |"


def _cell(trial: Trial) -> str:
    """How many of the layers with a kernel were handled, and the tasks that a step of tuning was done for."""
    if trial.shipped is None:
        return "refused"
    whole, layers = len(left(trial)), len(layers_with_kernel(trial.network))
    told = f"{layers - whole} of {layers}"
    return f"{told}; {', '.join(_tuned(trial))}" if trial.technique.needs_tuning else told


def _tuned(trial: Trial) -> Iterator[str]:
    for kind in TASKS:
        if tunable(trial, task := kind()):
            check_tuning_stays_finite(trial, task)
            yield task.name


def notes(techniques: list[type[Compressor]]) -> Iterator[str]:
    """An entry, in lines, for each technique, network and reason for which something was left."""
    for technique in techniques:
        for name, build in NETWORKS.items():
            for told in _told(trial(technique, build)):
                entry = f"- `{technique.name}`, {name}: {told}"
                yield from textwrap.wrap(entry, 118, subsequent_indent="  ", break_on_hyphens=False)


def _told(trial: Trial) -> Iterator[str]:
    if isinstance(trial.outcome, RefusedCompressionError):
        yield str(trial.outcome)
        return
    layers = dict[str, list[str]]()
    for layer, reason in left(trial).items():
        layers.setdefault(reason, []).append(layer)
    for reason, names in layers.items():
        yield f"{', '.join(names)}: {reason}"


if __name__ == "__main__":
    main()
