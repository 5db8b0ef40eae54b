"""One optimisation step and its state, in TensorFlow; `mlbench.training.loop` holds the loop around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Task
from mlbench.contracts.samples import Samples
from mlbench.contracts.task import Arrays
from mlbench.errors import UsageError
from mlbench.networks import graph, storage
from mlbench.networks.ports import Ports, Tensors, traced
from mlbench.system import quiet
from mlbench.training.adam import Adam
from mlbench.training.muon import Muon

quiet.quiet_tensorflow()

import tensorflow as tf  # noqa: E402
import tf_keras  # noqa: E402

if TYPE_CHECKING:
    from mlbench.training.options import TrainingOptions

_OPTIMIZERS = {"adam": Adam, "muon": Muon}


class Trainer:
    """A network with its optimiser; a step at a time, saved and restored whole."""

    def __init__(
        self,
        network: tf_keras.Model,
        teacher: tf_keras.Model | None,
        ports: Ports,
        task: Task,
        options: TrainingOptions,
        steps_per_epoch: int,
        before_step: Callable[[tf_keras.Model, int, int], None] | None = None,
        settle: Callable[[tf_keras.Model], None] | None = None,
    ) -> None:
        """Prepare to train `network` in place; for the hooks see `mlbench.contracts.Compressor`."""
        self._network, self._ports, self._task = network, ports, task
        self._options = options
        self._steps = steps_per_epoch * options.epochs
        # Wrappers of pruning, clustering and the like compute in float32 alone.
        low = options.compute == "bfloat16" and all(map(graph.computes_in_bfloat16, network.layers))
        self._working = _in_bfloat16(network) if low else network
        self._teacher = _in_bfloat16(teacher) if low and teacher is not None else teacher
        self._before_step = before_step
        self._settle = settle
        self._predict = ports.predictor(network)
        self._loss = task.loss(options.loss or task.losses[0], network)
        self._shapes = {
            name: tuple(output.shape[1:]) for name, output in zip(ports.outputs, network.outputs, strict=True)
        }
        self._optimizer = _OPTIMIZERS[options.optimizer](options.rate)
        self._optimizer.build(self._working.trainable_variables)
        self._step = traced(self._step_eagerly)

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(self._optimizer.learning_rate)

    def step(self, inputs: Arrays, targets: Arrays) -> tf.Tensor:
        """One step on a batch of stored inputs and targets [n, …]; returns the loss."""
        done = int(self._optimizer.iterations)
        if self._options.schedule == "cosine":
            self._optimizer.learning_rate = (
                self._options.rate * 0.5 * (1 + math.cos(math.pi * done / self._steps))
            )
        if self._before_step is not None:
            self._before_step(self._working, done, self._steps)
        try:
            wanted = self._task.wanted(targets, self._shapes)
            return self._step(*({k: tf.constant(v) for k, v in part.items()} for part in (inputs, wanted)))
        except tf.errors.ResourceExhaustedError as error:
            message = f"Training ran out of memory: give a smaller --batch than {self._options.batch}."
            raise UsageError(message) from error

    def _step_eagerly(self, stored: Tensors, targets: Tensors) -> tf.Tensor:
        inputs = self._ports.encoded(stored)
        if self._teacher is not None:
            share = self._options.teacher_share
            outputs = self._ports.call(self._teacher, inputs, training=False)
            taught = self._task.taught(outputs, self._teacher)
            targets = {name: (1 - share) * value + share * taught[name] for name, value in targets.items()}
        with tf.GradientTape() as tape:
            loss = self._loss(self._ports.call(self._working, inputs, training=True), targets)
        variables = self._working.trainable_variables
        self._optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def current(self) -> tf_keras.Model:
        """The network with the weights of the last step."""
        if self._settle is not None:
            self._settle(self._working)
        if self._working is not self._network:
            self._network.set_weights(self._working.get_weights())
        return self._network

    def predict(self, samples: Samples) -> dict[str, npt.NDArray[np.float32]]:
        """Outputs [n, …] that the current network gives for samples, by target."""
        self.current()
        return self._predict(samples)

    def save(self, path: Path, history: str) -> None:
        """Write weights, optimiser and history (any text), by atomic rename."""
        weights = storage.numbered("weight", self._working.get_weights())
        state = storage.numbered("optimizer", (variable.numpy() for variable in self._optimizer.variables))
        storage.save_arrays(dict([*weights, *state, ("history", np.array(history))]), path)

    def restore(self, path: Path) -> str:
        """Take up a checkpoint; returns its history.

        Raises:
            UsageError: damaged, or of another network.
        """
        arrays = storage.load_arrays(path)
        try:
            self._working.set_weights(storage.in_order("weight", arrays))
            state = storage.in_order("optimizer", arrays)
            for variable, value in zip(self._optimizer.variables, state, strict=True):
                variable.assign(value)
            return str(arrays["history"])
        except (KeyError, ValueError) as error:
            message = f"{path} belongs to another training ({error}): remove it and run again."
            raise UsageError(message) from error


def _in_bfloat16(network: tf_keras.Model) -> tf_keras.Model:
    """A copy that computes in bfloat16 and keeps float32 weights; layers that answer compute in float32."""
    last = {layer.name for layer in graph.last_layers(network)}

    def copy(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        dtype = "float32" if layer.name in last else "mixed_bfloat16"
        return type(layer).from_config({**layer.get_config(), "dtype": dtype})

    working = tf_keras.models.clone_model(network, clone_function=copy)
    working.set_weights(network.get_weights())
    return working
