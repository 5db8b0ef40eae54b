"""A small network for landmarks, and for presence: most of its work is done by five convolutions.

mlbench run --model examples.compact:compact --data faces.npz --epochs 60 --compress dynamic
mlbench run --model examples.compact:compact_with_presence --task presence --data faces.npz --epochs 60
"""

import tf_keras

CROP, LANDMARKS = 96, 68

#: Filters of each convolution, whose kernel is 3×3, and whether a 2×2 max-pool follows.
BLOCKS = ((16, True), (24, True), (32, False), (48, True), (64, False))
SQUEEZED, HIDDEN = 16, 64


def compact(presence=False, seed=7):
    """96×96×1 -> x and y of 68 landmarks, and the log-odds of a face where asked; 112,288 weights."""
    tf_keras.utils.set_random_seed(seed)
    layers = tf_keras.layers
    crop = seen = layers.Input((CROP, CROP, 1), name="crop")
    for number, (filters, pool) in enumerate(BLOCKS, 1):
        seen = layers.Conv2D(filters, 3, activation="relu", name=f"conv{number}")(seen)
        if pool:
            seen = layers.MaxPool2D(name=f"pool{number}")(seen)
    seen = layers.Conv2D(SQUEEZED, 1, activation="relu", name="squeezed")(seen)
    seen = layers.Flatten(name="flatten")(seen)
    hidden = layers.Dense(HIDDEN, activation="relu", name="hidden")(seen)
    answers = [layers.Dense(2 * LANDMARKS, name="points")(hidden)]
    if presence:
        answers.append(layers.Dense(1, name="presence")(seen))
    return tf_keras.Model(crop, answers, name="compact")


def compact_with_presence():
    """Both answers; 785 weights more."""
    return compact(presence=True)
