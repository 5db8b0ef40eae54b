"""Networks for tests whose answers spread over the faces, as a trained network's do, made in no time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlbench.contracts import NetworkSource, Samples
from mlbench.export.artifacts import answers
from mlbench.faces.landmarks import POINTS, Landmarks
from mlbench.networks import building, graph
from mlbench.networks.ports import predict

if TYPE_CHECKING:
    import tf_keras


def fitted(source: NetworkSource, samples: Samples) -> tf_keras.Model:
    """The untrained network, its last layer fitted to samples of landmarks by ridge regression.

    Trained for an epoch or two the answers of a small network vary by 0.001 px from face to face: what zeroes or
    swaps its weights passes every tolerance. These vary by 1 px and more.
    """
    network = building.build(source, Landmarks(), samples, 7)
    [last] = graph.last_layers(network)
    parts = graph.inputs_of(network, [last], graph.encoded(network, samples))
    found = np.concatenate([part[last.name] for part in parts])
    wanted = samples.targets[POINTS].reshape(len(samples), -1)
    mean, middle = found.mean(axis=0), wanted.mean(axis=0)
    centred = found - mean
    scatter = centred.T @ centred
    ridge = 0.1 * np.trace(scatter) / len(scatter) * np.eye(len(scatter))
    kernel = np.linalg.solve(scatter + ridge, centred.T @ (wanted - middle))
    last.set_weights([kernel, middle - mean @ kernel])
    return network


def points_of(network: tf_keras.Model, samples: Samples) -> npt.NDArray[np.float32]:
    """What a network of landmarks gives for samples [n,136], px."""
    return predict(network, samples)[POINTS]


def points_in(model: Path | bytes, samples: Samples) -> npt.NDArray[np.float32]:
    """What a file of landmarks, or its content, gives for samples [n,136], px."""
    return answers(model, samples)[POINTS]
