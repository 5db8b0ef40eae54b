"""Muon: momentum made orthogonal, for matrices; Adam for everything else.

A chain of small factors is badly conditioned: Adam moves its weights one by one, and follows the few directions that
dominate a factor's gradient. Muon gives all of the gradient's directions equal length.
"""

from __future__ import annotations

import math

import numpy as np

from mlbench.system import quiet
from mlbench.training.adam import Adam

quiet.quiet_tensorflow()

import tensorflow as tf  # noqa: E402

_MOMENTUM = 0.95
_ROUNDS = 5
_COEFFICIENTS = 3.4445, -4.7750, 2.0315
_RMS = 0.2  # of an update at rate 1, as Adam's: one rate serves both
#: A matrix whose smaller side is larger is left to Adam: orthogonalising takes that side squared times the larger one.
_LARGEST_SIDE = 256
_USUAL_INPUTS = 8192  # of a layer that takes the rate as it is


class Muon(Adam):
    """Orthogonalised Nesterov momentum (Jordan et al. 2024), its length as Adam's (Liu et al. 2025, section 2.2).

    A convolution's kernel [height,width,in,out] counts as a matrix [height·width·in, out]. Biases, and matrices with
    more than 256 rows and columns, are moved by Adam. Adam moves every weight alike, so that a layer's answers move in
    proportion to its inputs: beyond 8,192 of them its steps are shorter by as much (Yang et al. 2022, table 3), or the
    one step that fits a layer of 7,744 inputs would throw one of 135,424 off.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Move one variable by its gradient."""
        rows, columns = int(np.prod(variable.shape[:-1])), int(variable.shape[-1])
        if len(variable.shape) < 2:
            super().update_step(gradient, variable)
        elif min(rows, columns) <= _LARGEST_SIDE:
            self._orthogonal_step(gradient, variable, (rows, columns))
        else:
            self._adam_step(gradient, variable, min(1.0, _USUAL_INPUTS / rows))

    def _orthogonal_step(self, gradient: tf.Tensor, variable: tf.Variable, shape: tuple[int, int]) -> None:
        momentum = self._momentums[self._index_dict[self._var_key(variable)]]
        momentum.assign(_MOMENTUM * momentum + (1 - _MOMENTUM) * gradient)
        ahead = _MOMENTUM * momentum + (1 - _MOMENTUM) * gradient
        direction = orthogonal(tf.reshape(ahead, shape))
        length = self.learning_rate * _RMS * math.sqrt(max(shape))
        variable.assign_sub(length * tf.reshape(direction, variable.shape))


def orthogonal(matrix: tf.Tensor) -> tf.Tensor:
    """Roughly U Vᵀ of a matrix U S Vᵀ [m,n]: singular values from a few hundredths of the norm on become 0.7 to 1.2.

    Five rounds of the quintic Newton-Schulz iteration (Jordan et al. 2024), which needs products alone.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = tf.transpose(matrix) if tall else matrix
    x /= tf.norm(x) + 1e-12
    for _ in range(_ROUNDS):
        gram = x @ tf.transpose(x)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return tf.transpose(x) if tall else x
