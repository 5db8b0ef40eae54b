"""Age in years from a face: writes `ages.npz` and a trained `ages.keras`.

python examples/ages.py FACES.npz

The file of faces has `images` uint8 [n,96,96] and `name` with the age before the first `_`, as UTKFace names its files.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from resnet8 import resnet8

EPOCHS, BATCH = 60, 64

keras.utils.set_random_seed(7)
with np.load(sys.argv[1]) as faces:
    chosen = faces["source"] == "utkface"
    x = faces["images"][chosen][..., None]
    years = np.array([name.split("_")[0] for name in faces["name"][chosen]], np.float32)
count = len(x)
parts = np.repeat(
    ["train", "validation", "test"], [round(0.7 * count), round(0.1 * count), round(0.2 * count)]
)
split = np.random.default_rng(7).permutation(parts)
np.savez("ages.npz", x=x, y=years, split=split)

train, validation = split == "train", split == "validation"
usual, spread = years[train].mean(), years[train].std()
network = resnet8((96, 96, 1), 1, widths=(32, 64, 128), strides=(2, 2, 2), stem=2)
seen_anew = keras.Sequential(
    [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomTranslation(0.08, 0.08, "nearest"),
        keras.layers.RandomRotation(0.04, "nearest"),
        keras.layers.RandomZoom(0.08, fill_mode="nearest"),
        keras.layers.RandomBrightness(0.15, value_range=(0, 1)),
        keras.layers.RandomContrast(0.3),
    ]
)


def batches(rows):
    """Images 0…1 and standardised ages."""
    pairs = (x[rows].astype(np.float32) / 255, (years[rows] - usual) / spread)
    return tf.data.Dataset.from_tensor_slices(pairs)


learnt = batches(train).shuffle(count, seed=7).batch(BATCH)
learnt = learnt.map(lambda image, age: (seen_anew(image, training=True), age), 2).prefetch(2)
schedule = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * -(-int(train.sum()) // BATCH))
network.compile(keras.optimizers.AdamW(schedule, weight_decay=0.01), "mae")
best = keras.callbacks.ModelCheckpoint("ages.keras", save_best_only=True)
network.fit(
    learnt, validation_data=batches(validation).batch(256), epochs=EPOCHS, callbacks=[best], verbose=2
)

network = keras.models.load_model("ages.keras")
last = network.layers[-1]
kernel, bias = last.get_weights()
last.set_weights([kernel * spread, bias * spread + usual])  # answers years
network.save("ages.keras")
for part in np.unique(split):
    error = np.abs(
        network.predict(x[split == part] / np.float32(255), verbose=0)[:, 0] - years[split == part]
    )
    print(f"{part}: {len(error)} faces, mean absolute error {error.mean():.2f} years")
print(f"{Path('ages.keras').stat().st_size:,} bytes")
