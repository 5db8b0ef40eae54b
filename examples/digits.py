"""Handwritten digits (scikit-learn, 1,797 of 8×8 pixels): writes `digits.npz` and a trained `digits.keras`.

python examples/digits.py
"""

import keras
import numpy as np
from resnet8 import resnet8
from sklearn.datasets import load_digits

keras.utils.set_random_seed(7)
images, classes = load_digits(return_X_y=True)
x = (images.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
rng = np.random.default_rng(7)
split = rng.permutation(np.repeat(["train", "validation", "test"], [1037, 180, 580]))
np.savez("digits.npz", x=x, y=classes, split=split)

network = resnet8((8, 8, 1), 10, activation="softmax")
epochs = 60
schedule = keras.optimizers.schedules.CosineDecay(2e-3, epochs * 17)
network.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
shifted = keras.Sequential([keras.layers.RandomTranslation(0.1, 0.1), keras.layers.RandomRotation(0.03)])
train = split == "train"
for epoch in range(epochs):
    seen = np.asarray(shifted(x[train], training=True))
    network.fit(seen, classes[train], 64, epochs=epoch + 1, initial_epoch=epoch, verbose=0)
for part in np.unique(split):
    loss, accuracy = network.evaluate(x[split == part], classes[split == part], verbose=0)
    print(f"{part}: {accuracy:.2%}")
network.save("digits.keras")
