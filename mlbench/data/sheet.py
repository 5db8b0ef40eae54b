"""Pictures of samples side by side, with their labels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mlbench.contracts import Picture
from mlbench.system.files import write_atomically

_SIDE, _LINE, _GAP, _ACROSS = (
    128,
    14,
    6,
    6,
)  # pixels of a picture, of a line of text, between them; pictures per row
_LETTERS = 20  # that stand below a picture
_DOT = 1  # pixels on each side of a point


def write_sheet(pictures: Sequence[Picture], path: Path) -> None:
    """Write a contact sheet as a PNG, by atomic rename; small pictures are enlarged without smoothing.

    Raises:
        UsageError: the file cannot be written.
    """
    across = min(_ACROSS, len(pictures))
    width, height = _SIDE + _GAP, _SIDE + 2 * _LINE + _GAP
    sheet = Image.new("RGB", (across * width + _GAP, -(-len(pictures) // across) * height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LINE - 4)
    for place, picture in enumerate(pictures):
        left, top = _GAP + place % across * width, _GAP + place // across * height
        sheet.paste(_tile(picture), (left, top))
        name, _, label = picture.text.rpartition(": ")
        for line, text in enumerate((label, name)):
            draw.text((left, top + _SIDE + line * _LINE), text[-_LETTERS:], "black", font)
    with write_atomically(path) as part:
        sheet.save(part, "PNG")


def _tile(picture: Picture) -> Image.Image:
    """One picture with its points, in a square; grey without one."""
    tile = Image.new("RGB", (_SIDE, _SIDE), "lightgrey")
    if not picture.png:
        return tile
    image = Image.open(io.BytesIO(picture.png)).convert("RGB")
    scale = _SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    tile.paste(
        image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR), (0, 0)
    )
    draw = ImageDraw.Draw(tile)
    for x, y in ((x * scale, y * scale) for x, y in picture.points):
        draw.ellipse((x - _DOT, y - _DOT, x + _DOT, y + _DOT), "red")
    return tile
