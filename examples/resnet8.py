"""A residual network with eight layers of weights along its longest path, in Keras 3; it knows nothing of mlbench.

He et al. 2016, section 4.2, with one block per stage, as in MLPerf Tiny's image classification.
"""

import keras
from keras import layers


def resnet8(shape, outputs, widths=(16, 32, 64), strides=(1, 2, 2), stem=1, activation=None):
    """A network for images of `shape` (height, width, channels).

    Args:
        shape: of one image.
        outputs: numbers that it answers.
        widths: filters of the three stages.
        strides: of the stages' first convolutions.
        stem: stride of the convolution before them.
        activation: of the answers: "softmax", or None for numbers.
    """
    inputs = keras.Input(shape)
    values = _convolution(inputs, widths[0], 3, stem)
    for width, stride in zip(widths, strides, strict=True):
        values = _block(layers.ReLU()(values), width, stride)
    values = layers.GlobalAveragePooling2D()(layers.ReLU()(values))
    return keras.Model(inputs, layers.Dense(outputs, activation)(values), name="resnet8")


def _block(values, width, stride):
    """Two 3×3 convolutions beside a shortcut, which is a 1×1 convolution where the shape changes."""
    made = layers.ReLU()(_convolution(values, width, 3, stride))
    made = _convolution(made, width, 3, 1)
    same = stride == 1 and values.shape[-1] == width
    return layers.Add()([made, values if same else _convolution(values, width, 1, stride)])


def _convolution(values, width, size, stride):
    made = layers.Conv2D(width, size, stride, padding="same", use_bias=False)(values)
    return layers.BatchNormalization(momentum=0.9)(made)
