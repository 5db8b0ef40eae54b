"""Image files to arrays: upright, 8 bits, or one reason why not.

Pillow decodes, not OpenCV: it knows an image's size before it decodes it, tells a truncated file from a whole
one (OpenCV fills the rest with grey), and converts CMYK, palettes, 16 bits and transparency in defined ways.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

#: Endings that are taken for images in a folder.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".gif"}
)

#: An image with more pixels is not decoded: a decompression bomb, or no photograph of a face.
MAX_PIXELS = 100_000_000

# Only formats that are plain pictures: nothing that starts another program (EPS) or reads other files.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
_PAPER = 255  # what shows through transparent pixels: white, as on a page


class BadImageError(Exception):
    """An image that cannot be used; the text is the reason, without the file's name."""


def read_grey(path: Path, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Decode an image to grey uint8 [height,width] (ITU-R 601 luma), upright by its EXIF orientation.

    Raises:
        BadImageError: unreadable, empty, truncated, of an unsupported kind, or of more than `max_pixels`
        pixels.
    """
    return np.asarray(_decoded(path, max_pixels).convert("L"))


def read_rgb(path: Path, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Decode an image to colour uint8 [height,width,3], upright by its EXIF orientation.

    Raises:
        BadImageError: as `read_grey`.
    """
    return np.asarray(_decoded(path, max_pixels).convert("RGB"))


def _decoded(path: Path, max_pixels: int) -> Image.Image:
    """The first picture of a file, upright, of mode L or RGB."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a bomb warning below our own limit, odd EXIF
            with Image.open(path, formats=_FORMATS) as image:
                pixels = image.width * image.height
                if pixels > max_pixels:
                    raise BadImageError(_too_large(pixels, max_pixels))
                image.load()
                return _plain(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as error:
        message = f"too large to decode safely (more than {max_pixels / 1e6:.0f} megapixels)"
        raise BadImageError(message) from error
    except UnidentifiedImageError as error:
        raise BadImageError(_not_an_image(path)) from error
    except FileNotFoundError as error:
        message = "no such file"
        raise BadImageError(message) from error
    except PermissionError as error:
        message = "no permission to read it"
        raise BadImageError(message) from error
    except (OSError, ValueError, SyntaxError, EOFError, OverflowError, MemoryError, ArithmeticError) as error:
        raise BadImageError(_damage(error)) from error


def _plain(image: Image.Image) -> Image.Image:
    """8 bits a channel, opaque, no palette."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        message = f"pixels of 32 bits (mode {image.mode}) have no known range"
        raise BadImageError(message)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, (_PAPER, _PAPER, _PAPER, 255))
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image if image.mode == "L" else image.convert("RGB")


def _too_large(pixels: int, limit: int) -> str:
    return f"{pixels / 1e6:,.1f} megapixels, more than {limit / 1e6:,.0f}"


def _not_an_image(path: Path) -> str:
    return "empty file" if path.stat().st_size == 0 else "not an image of a known format"


def _damage(error: BaseException) -> str:
    text = str(error).split("\n", 1)[0]
    return "truncated" if "truncated" in text.lower() else f"damaged ({text or type(error).__name__})"
