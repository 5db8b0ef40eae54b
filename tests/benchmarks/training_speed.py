"""Training beside a bare loop: images/s of `batches` with augmentation, and of `train_on_batch` on arrays.

    python -m tests.benchmarks.training_speed --variant basic

Both run in turns in one process, on the same network and as many threads; prints the ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time

from mlbench import plugins
from mlbench.faces.landmarks import IMAGE, POINTS, Landmarks
from mlbench.networks import building
from mlbench.networks.ports import Ports
from mlbench.training.loop import batches
from mlbench.training.options import TrainingOptions
from mlbench.training.step import Trainer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="basic")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    import tf_keras

    task, options = Landmarks(), TrainingOptions(epochs=100)
    samples = task.sample(given.batches * options.batch, seed=7)
    variant = plugins.load("variants", given.variant)
    network, bare = (building.build(variant, task, samples, 7) for _ in range(2))
    trainer = Trainer(network, None, Ports.of(network, samples), task, options, given.batches)
    bare.compile(optimizer=tf_keras.optimizers.Adam(1e-3), loss="mse")
    inputs, targets = samples.encoded()[IMAGE], samples.targets[POINTS].reshape(len(samples), -1)

    def ours(epoch: int) -> None:
        for batch in batches(samples, task, options, epoch):
            loss = trainer.step(*batch)
        float(loss)

    def theirs(_: int) -> None:
        for start in range(0, len(samples), options.batch):
            bare.train_on_batch(inputs[start : start + options.batch], targets[start : start + options.batch])

    ratios = []
    for epoch in range(given.rounds + 1):
        seconds = []
        for loop in (ours, theirs):
            started = time.perf_counter()
            loop(epoch)
            seconds.append(time.perf_counter() - started)
        if epoch:  # the first traces the graphs
            ratios.append(seconds[1] / seconds[0])
            print(
                f"mlbench {len(samples) / seconds[0]:.0f} images/s, bare {len(samples) / seconds[1]:.0f}",
                flush=True,
            )
    print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
