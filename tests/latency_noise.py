"""Latencies as a machine gives them: a model of their noise, for simulations.

One round is one burst of each file. What a burst takes is, in logarithms, the sum of

* what the whole machine does in that round, the same for both files (an autoregression of order 1),
* what that one process met (which pages and cores it got), drawn anew for each burst,
* what each inference met, and now and then a time slice of another program.

The sizes come from bursts of the 33 MB `basic` file and its copy, recorded on two cores that also trained
networks. What counts is how far the log medians of a round's two bursts lie apart. `CALM` has 0.04: the steadiest
recording's lower quartiles, which time slices of other programs do not reach. `BUSY` has 0.15, the medians at a
load of 2 per core, where the measuring process got 0.9 of its core: 0.09 to 0.12 were recorded. `STARVED` has 0.5,
the medians at a load of 4 per core, where it got 0.4: 0.3 to 0.6 were recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlbench.records import Timing

ROUNDS = 20  # of the host runner
SAMPLES = 12  # a round; slow networks give no more by default


@dataclass(frozen=True)
class Noise:
    """Standard deviations of logarithms, and how often and how long another program takes the core."""

    machine: float
    process: float
    inference: float
    slices: float  # share of the inferences that meet one
    longest: float  # of such an inference, over its usual time


CALM = Noise(machine=0.05, process=0.02, inference=0.05, slices=0.02, longest=3)
BUSY = Noise(machine=0.10, process=0.065, inference=0.25, slices=0.10, longest=5)
STARVED = Noise(machine=0.40, process=0.25, inference=0.60, slices=0.25, longest=20)


def measured(
    noise: Noise, slowdown: float, rng: np.random.Generator, rounds: int = ROUNDS, samples: int = SAMPLES
) -> tuple[Timing, Timing]:
    """Candidate and baseline, interleaved; the candidate takes `slowdown` times as long."""
    machine = np.empty(rounds)
    machine[0] = rng.normal(0, noise.machine)
    for i in range(1, rounds):
        machine[i] = 0.7 * machine[i - 1] + rng.normal(0, noise.machine * np.sqrt(1 - 0.7**2))

    def timing(factor: float) -> Timing:
        process = rng.normal(0, noise.process, rounds)
        logs = rng.normal(0, noise.inference, (rounds, samples)) + (machine + process)[:, None]
        taken = np.where(rng.random(logs.shape) < noise.slices, rng.uniform(1, noise.longest, logs.shape), 1)
        return Timing.from_samples(
            (2.0 * factor * np.exp(logs) * taken).ravel().tolist(), [samples] * rounds, 1.0
        )

    return timing(slowdown), timing(1.0)
