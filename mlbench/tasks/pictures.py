"""Pictures of samples that are images."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from mlbench.contracts.samples import Samples
from mlbench.contracts.task import Picture

_LARGEST = 256  # pixels of a side: a record is no album


def picture_of(samples: Samples, row: int, text: str) -> Picture:
    """A sample whose first input is a grey or RGB image, stretched to 0..255; other samples have words alone."""
    values = next(iter(samples.inputs.values()))[row]
    image = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
    told = f"{samples.ids[row]}: {text}"
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[-1] == 3)) or min(image.shape[:2]) < 4:
        return Picture(text=told)
    low, high = float(image.min()), float(image.max())
    grey = image if image.dtype == np.uint8 else (image - low) / ((high - low) or 1) * 255
    drawn = Image.fromarray(np.asarray(grey).astype(np.uint8))
    drawn.thumbnail((_LARGEST, _LARGEST))
    out = io.BytesIO()
    drawn.save(out, "PNG")
    return Picture(out.getvalue(), told)
