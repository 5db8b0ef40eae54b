"""Adam whose update of a variable is one operation, which passes over its memory once.

In a network with large matrices on a CPU the update takes longer than the gradient: as some ten operations it reads
and writes each weight's moments as often.
"""

from __future__ import annotations

from mlbench.system import quiet

quiet.quiet_tensorflow()

import tensorflow as tf  # noqa: E402
import tf_keras  # noqa: E402


class Adam(tf_keras.optimizers.Adam):  # type: ignore[misc]
    """Adam (Kingma, Ba 2015, section 2, "epsilon hat"), by TensorFlow's fused operation."""

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Move one variable by its gradient."""
        if isinstance(gradient, tf.IndexedSlices):  # of an embedding: the operation takes none
            super().update_step(gradient, variable)
        else:
            self._adam_step(gradient, variable)

    def _adam_step(self, gradient: tf.Tensor, variable: tf.Variable, share: float = 1.0) -> None:
        """Move a variable by a share of the learning rate."""
        index, step = self._index_dict[self._var_key(variable)], tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=share * self.learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
