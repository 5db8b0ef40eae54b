"""How long training and tuning will take: by rates that were measured, or not said at all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from mlbench.compression.chain import Chain
from mlbench.compression.stages import ChainSetup, unfinished
from mlbench.contracts import NetworkSource
from mlbench.records import Epoch
from mlbench.system.cache import cache_folder
from mlbench.system.durations import format_duration, format_rate
from mlbench.training.baselines import Material, Trained, baseline_folder, baseline_key, finished
from mlbench.training.loop import history_from_json
from mlbench.training.options import TrainingOptions


def before_training(
    network: NetworkSource,
    material: Material,
    training: TrainingOptions,
    start: Trained | None,
    chains: Sequence[Chain],
    setup: ChainSetup,
) -> str:
    """A sentence on the time until the last candidate is tuned; "" where nothing is to be done, or no rate known.

    The rate is that of the newest finished training of a network of the same name in the cache.
    """
    key = baseline_key(network, material, training, start)
    done = finished(baseline_folder(network, key), key, material.task)
    count = 0 if done else training.epochs * len(material.split.train)
    rate = _rate(done.history if done else ()) or _rate(_newest_history(network.name))
    tuned = _tuning(key, chains, setup)
    what = " and ".join([*(["Training"] if count else []), *(["tuning"] if tuned else [])]).capitalize()
    patient = (tuned > 0 and setup.tuning.patience > 0) or (count > 0 and training.patience > 0)
    return _told(what, count + tuned, rate, patient, f"earlier trainings of {network.name}")


def after_training(trained: Trained, chains: Sequence[Chain], setup: ChainSetup) -> str:
    """The same, once the network is trained, by the rate of that training."""
    count = _tuning(trained.key, chains, setup)
    return _told("Tuning", count, _rate(trained.history), setup.tuning.patience > 0, "the training")


def _tuning(key: str, chains: Sequence[Chain], setup: ChainSetup) -> int:
    """Samples that stages are still to be tuned on; chains that begin alike share stages."""
    return sum({stage: count for chain in chains for stage, count in unfinished(key, chain, setup)}.values())


def _told(what: str, samples: int, rate: float, patient: bool, source: str) -> str:
    if not samples or not rate:
        return ""
    time = f"{'at most ' if patient else ''}about {format_duration(samples / rate)}"
    return f"{what} will take {time}: {samples:,} samples at the {format_rate(rate)} of {source}."


def _rate(history: Sequence[Epoch]) -> float:
    """Samples per second of a training, epochs of measured time alone; 0: not known."""
    rates = [epoch.samples_per_s for epoch in history if epoch.seconds]
    return float(np.median(rates)) if rates else 0.0


def _newest_history(name: str) -> Sequence[Epoch]:
    files = (cache_folder() / "baselines").glob(f"{name}-*/history.json")
    by_age = sorted(files, key=lambda path: path.stat().st_mtime)
    with suppress(OSError, ValueError):  # damaged ones are told by who needs them
        return history_from_json(by_age[-1].read_text(encoding="utf-8")) if by_age else ()
    return ()
