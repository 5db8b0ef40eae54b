"""Image files to arrays: upright, 8 bits, or one reason why not.

Pillow decodes, not OpenCV: it knows an image's size before it decodes it, tells a truncated file from a whole
one (OpenCV fills the rest with grey), and converts CMYK, palettes, 16 bits and transparency in defined ways.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError, features

from mlbench.system.installing import install

with suppress(ImportError):
    import_module("pillow_heif").register_heif_opener()  # a plug-in of Pillow; photographs of many phones

# Only formats that are plain pictures: nothing that starts another program (EPS) or reads other files.
_PLAIN = {"JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM", "GIF", "AVIF", "JPEG2000", "HEIF"}

#: Endings that are taken for images in a folder: those that Pillow decodes as it was built here.
SUFFIXES = frozenset(
    ending
    for ending, kind in Image.registered_extensions().items()
    if kind in _PLAIN and (kind != "JPEG2000" or features.check("jpg_2000"))
)

_FORMATS = sorted(_PLAIN & Image.OPEN.keys())  # registered above

#: Ways to use images that are not decoded, by ending.
_CONVERT = "convert them to JPEG or PNG"
_HEIF = f"{install('pillow-heif')}, or {_CONVERT}"
_REBUILD = f"install a Pillow that decodes them, or {_CONVERT}"
_RAW = dict.fromkeys((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"), _CONVERT)
_OTHERS = dict.fromkeys((".jxl", ".psd", ".tga", ".svg", ".pdf", ".eps", ".mov", ".mp4"), _CONVERT)
_KNOWN = (
    dict.fromkeys((".heic", ".heif", ".hif"), _HEIF)
    | dict.fromkeys((".avif", ".webp", ".jp2", ".j2k"), _REBUILD)
    | _RAW
    | _OTHERS
)
REMEDIES = {ending: remedy for ending, remedy in _KNOWN.items() if ending not in SUFFIXES}

#: An image with more pixels is not decoded: a decompression bomb, or no photograph.
MAX_PIXELS = 100_000_000

_PAPER = 255  # what shows through transparent pixels: white, as on a page
_LYING = (5, 6, 7, 8)  # EXIF orientations of images that lie on a side
_GREY = ("1", "L", "LA", "La")
_DEPTHS = (8, 10, 12, 14, 16)  # bits of a value that sensors and scanners give


class BadImageError(Exception):
    """An image that cannot be used; the text is the reason, without the file's name."""


@dataclass(frozen=True)
class Grey:
    """A decoded image: `pixels` uint8 [height,width]; `note` says what had to be assumed ("" for nothing)."""

    pixels: npt.NDArray[np.uint8]
    note: str = ""


def decode_grey(path: Path, max_pixels: int = MAX_PIXELS) -> Grey:
    """Decode an image to grey (ITU-R 601 luma), upright by its EXIF orientation, and say what was assumed.

    Grey values of 16 bits are divided by the range that they use: the largest value rounded up to 8, 10, 12,
    14 or 16 bits, since 12-bit cameras fill files of 16 bits without saying so. Colour of 16 bits that uses
    14 bits or fewer is refused: Pillow keeps the upper 8 bits alone.

    Raises:
        BadImageError: unreadable, empty, truncated, of an unsupported kind, or of more than `max_pixels`
        pixels.
    """
    image, note = _decoded(path, max_pixels)
    return Grey(np.asarray(image.convert("L")), note)


def read_grey(path: Path, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """The pixels of `decode_grey`.

    Raises:
        BadImageError: as `decode_grey`.
    """
    return decode_grey(path, max_pixels).pixels


def read_rgb(path: Path, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Decode an image to colour uint8 [height,width,3], upright by its EXIF orientation.

    Raises:
        BadImageError: as `decode_grey`.
    """
    return np.asarray(_decoded(path, max_pixels)[0].convert("RGB"))


@dataclass(frozen=True)
class Header:
    """What an image is before it is decoded: upright `size` (height, width), and whether it is grey."""

    size: tuple[int, int]
    grey: bool


def header_of(path: Path, max_pixels: int = MAX_PIXELS) -> Header:
    """Size and kind of an image, without its pixels.

    Raises:
        BadImageError: as `decode_grey`, but for damage behind the header.
    """
    with _opened(path, max_pixels) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in _LYING
        height, width = (image.width, image.height) if turned else (image.height, image.width)
        return Header((height, width), image.mode in _GREY or image.mode.startswith("I"))


def read_sized(path: Path, size: tuple[int, int], grey: bool) -> npt.NDArray[np.uint8]:
    """Decode an image to uint8 [height, width, channels], upright, stretched to the size bilinearly with antialiasing.

    Raises:
        BadImageError: as `decode_grey`.
    """
    image = _decoded(path, MAX_PIXELS)[0].convert("L" if grey else "RGB")
    if image.size != size[::-1]:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(*size, 1 if grey else 3)


def _decoded(path: Path, max_pixels: int) -> tuple[Image.Image, str]:
    """The first picture of a file, upright, of mode L or RGB, and what had to be assumed."""
    with _opened(path, max_pixels) as image:
        wide_colour = ";16" in f"{image.tile}"  # before the pixels are loaded
        image.load()
        if wide_colour and not image.mode.startswith("I"):
            _require_upper_bits(image)
        narrow, note = _eight_bits(ImageOps.exif_transpose(image), stretched=image.format == "PPM")
        return _plain(narrow), note


@contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """An image that is no bomb; what goes wrong with it is a `BadImageError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a bomb warning below our own limit, odd EXIF
            with Image.open(path, formats=_FORMATS) as image:
                pixels = image.width * image.height
                if pixels > max_pixels:
                    raise BadImageError(_too_large(pixels, max_pixels))
                yield image
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


def _require_upper_bits(image: Image.Image) -> None:
    """Refuse 16-bit colour of which the upper 8 bits, all that Pillow keeps, hold next to nothing."""
    if np.asarray(image.convert("RGB")).max() < 1 << 6:
        message = (
            "colour of 16 bits that uses 14 bits or fewer would be black: save it with 8 bits per channel"
        )
        raise BadImageError(message)


def _eight_bits(image: Image.Image, *, stretched: bool) -> tuple[Image.Image, str]:
    """Wider grey values divided by the range that they use; what was assumed where that is not 16 bits.

    `stretched`: Pillow has stretched values of more than 8 bits to 16, by the range that the file tells.
    """
    if image.mode in ("I", "F") and not (stretched and image.mode == "I"):
        message = f"pixels of 32 bits (mode {image.mode}) have no known range"
        raise BadImageError(message)
    if not image.mode.startswith("I"):
        return image, ""
    values = np.asarray(image)
    used = 16 if stretched else int(values.max()).bit_length()
    bits = next(depth for depth in _DEPTHS if depth >= used)
    note = "" if bits == 16 else f"16-bit values use {bits} bits alone, which are taken for the full range"
    return Image.fromarray((values >> (bits - 8)).astype(np.uint8)), note


def _plain(image: Image.Image) -> Image.Image:
    """8 bits per channel, opaque, no palette."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, (_PAPER, _PAPER, _PAPER, 255))
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image if image.mode == "L" else image.convert("RGB")


def _too_large(pixels: int, limit: int) -> str:
    return f"{pixels / 1e6:,.1f} megapixels, more than {limit / 1e6:,.0f}"


def _not_an_image(path: Path) -> str:
    if path.stat().st_size == 0:
        return "empty file"
    remedy = REMEDIES.get(path.suffix.lower())
    return f"not an image of a known format{f': {remedy}' if remedy else ''}"


def _damage(error: BaseException) -> str:
    text = str(error).split("\n", 1)[0]
    return "truncated" if "truncated" in text.lower() else f"damaged ({text or type(error).__name__})"
