"""What sizes of cores mean for `tt`: one dense layer of a trained network replaced, untuned, answers on new faces.

mlbench train --variant basic --samples 3000 --epochs 12 --compute bfloat16
python -m tests.benchmarks.train_cores FOLDER_OF_THE_BASELINE
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlbench.compression.chain import parse_chain
from mlbench.compressors import tt
from mlbench.contracts import Context
from mlbench.faces.landmarks import Landmarks
from mlbench.networks import graph, storage
from mlbench.system.progress import Silent

_LAYER = "dense1"
_EVEN = (22, 22, 16), (10, 10, 10)  # for 7,744×1000


def main(folder: str) -> None:
    """Print parameters of the layer, and the squared change of the answers."""
    network = storage.load(Path(folder))
    calibration, unseen = (Landmarks().sample(count, seed=seed) for count, seed in ((300, 11), (200, 12)))
    probe = graph.Probe(network, graph.encoded(network, unseen))
    own = tt.parted

    def show(text: str, ranks: tuple[int, ...]) -> None:
        plans = parse_chain(text).compressors[0].plans(network, Context(calibration, 7, Silent()))
        [plan] = [plan for plan in plans if plan.layer.name == _LAYER]
        [error] = probe.errors(plan.layer, [plan.layers(ranks)])
        print(f"{text} {ranks}: {plan.parameters(ranks):,} parameters, {error:.3f} px²", flush=True)

    show("svd", (16,))
    for ranks in ((16, 16), (32, 32), (64, 16)):
        show("tt", ranks)
    tt.parted = lambda rows, columns: _EVEN if rows == 7744 else own(rows, columns)
    print("even cores:")
    for ranks in ((16, 16), (32, 32)):
        show("tt", ranks)


if __name__ == "__main__":
    main(*sys.argv[1:])
