import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mlbench.data.decoding import SUFFIXES, BadImageError, decode_grey, read_grey, read_rgb

GREY = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
COLOUR = np.dstack([GREY, GREY[:, ::-1], np.full_like(GREY, 100)])


def png_header(width, height):
    """A PNG that claims a size, and has no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + b"\x00\x00\x10\x00IDATx"
    )


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "pgm"])
def test_grey_comes_back_as_it_was(tmp_path, ending):
    Image.fromarray(GREY).save(tmp_path / f"a.{ending}")
    assert read_grey(tmp_path / f"a.{ending}").tolist() == GREY.tolist()
    assert read_rgb(tmp_path / f"a.{ending}").tolist() == np.dstack([GREY] * 3).tolist()


def test_colour_and_its_luma(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    assert read_rgb(tmp_path / "a.png").tolist() == COLOUR.tolist()
    assert np.abs(read_grey(tmp_path / "a.png") - COLOUR @ [0.299, 0.587, 0.114]).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    turns = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }
    image = Image.fromarray(np.ascontiguousarray(turns[orientation](GREY)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    assert read_grey(tmp_path / "a.png").tolist() == GREY.tolist()


def test_sixteen_bits_keep_their_range(tmp_path):
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "a.png")
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "a.tif")
    assert read_grey(tmp_path / "a.png").tolist() == GREY.tolist()
    assert read_grey(tmp_path / "a.tif").tolist() == GREY.tolist()


def test_sixteen_bit_colour(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), COLOUR[:, :, ::-1].astype(np.uint16) * 257)
    assert read_rgb(tmp_path / "a.png").tolist() == COLOUR.tolist()


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_narrower_values_in_sixteen_bits_are_bright_and_told(tmp_path, bits, ending):
    values = np.linspace(0, 2**bits - 1, GREY.size).astype(np.uint16).reshape(GREY.shape)
    Image.fromarray(values).save(tmp_path / f"a.{ending}")
    found = decode_grey(tmp_path / f"a.{ending}")
    assert (found.pixels.min(), found.pixels.max()) == (0, 255)
    assert f"use {bits} bits" in found.note


def test_the_full_range_is_nothing_to_tell(tmp_path):
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "a.png")
    Image.fromarray(GREY).save(tmp_path / "b.png")
    assert [decode_grey(tmp_path / name).note for name in ("a.png", "b.png")] == ["", ""]


@pytest.mark.parametrize("largest", [4095, 65535])
def test_a_range_that_the_file_tells_is_taken(tmp_path, largest):
    values = np.linspace(0, largest // 4, GREY.size).astype(">u2")  # a dark image stays dark
    header = f"P5 {GREY.shape[1]} {GREY.shape[0]} {largest}\n".encode()
    (tmp_path / "a.pgm").write_bytes(header + values.tobytes())
    found = decode_grey(tmp_path / "a.pgm")
    assert found.pixels.max() == 63
    assert found.note == ""


def test_narrow_colour_of_sixteen_bits_is_refused_not_black(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), COLOUR.astype(np.uint16) * 16)
    with pytest.raises(BadImageError, match="save it with 8 bits per channel"):
        read_rgb(tmp_path / "a.png")
    Image.fromarray(COLOUR // 8).save(tmp_path / "dark.png")  # 8 bits: as it is
    assert read_rgb(tmp_path / "dark.png").max() == 31


@pytest.mark.parametrize("ending", ["avif", "webp", "jp2", "jfif", "heic"])
def test_common_kinds_of_photographs(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    if f".{ending}" not in SUFFIXES:
        path.write_bytes(b"\0\0\0\x1cftypheic")
        with pytest.raises(BadImageError, match=r"not an image of a known format: .*pip install"):
            read_grey(path)
        return
    Image.fromarray(COLOUR).save(path)
    assert np.abs(read_rgb(path).astype(int) - COLOUR).mean() < 20


def test_palettes(tmp_path):
    Image.fromarray(GREY).convert("P").save(tmp_path / "a.gif")
    assert np.abs(read_grey(tmp_path / "a.gif").astype(int) - GREY).max() <= 1
    Image.fromarray(COLOUR).quantize(256).save(tmp_path / "a.png")
    assert np.abs(read_rgb(tmp_path / "a.png").astype(int) - COLOUR).mean() < 5


def test_transparency_shows_white(tmp_path):
    rgba = np.dstack([COLOUR, np.full_like(GREY, 255)])
    rgba[:10, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    found = read_rgb(tmp_path / "a.png")
    assert (found[:10] == 255).all()
    assert found[10:].tolist() == COLOUR[10:].tolist()
    keyed = Image.fromarray(COLOUR).quantize(8)
    keyed.save(tmp_path / "keyed.png", transparency=keyed.getpixel((0, 0)))
    assert read_rgb(tmp_path / "keyed.png")[0, 0].tolist() == [255, 255, 255]


def test_black_and_white(tmp_path):
    Image.fromarray(GREY > 127).save(tmp_path / "a.png")
    assert set(np.unique(read_grey(tmp_path / "a.png"))) == {0, 255}


def test_cmyk(tmp_path):
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_rgb(tmp_path / "a.jpg").astype(int) - COLOUR).mean() < 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"not an image", "not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
        (png_header(20_000, 6_000), "120.0 megapixels, more than 100"),
        (png_header(60_000, 60_000), "too large to decode safely"),
        (png_header(100, 100), "truncated|damaged"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path, content, reason):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(BadImageError, match=reason):
        read_grey(tmp_path / "a.png")


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "bmp", "tif", "webp"])
def test_truncated_files_are_not_taken_for_whole_ones(tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    path = tmp_path / f"a.{ending}"
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(BadImageError):
            read_grey(path)


def test_numbers_without_a_range_are_refused(tmp_path):
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(BadImageError, match="32 bits"):
        read_grey(tmp_path / "a.tif")


def test_no_such_file(tmp_path):
    with pytest.raises(BadImageError, match="no such file"):
        read_grey(tmp_path / "a.png")
    with pytest.raises(BadImageError, match="damaged"):
        read_grey(tmp_path)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_ends_in_a_reason_or_in_an_image(tmp_path_factory, data):
    ending = data.draw(st.sampled_from(["jpg", "png", "gif", "bmp", "tif", "webp", "ppm"]))
    path = tmp_path_factory.mktemp("fuzz") / f"a.{ending}"
    Image.fromarray(COLOUR).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = read_grey(path)
    except BadImageError as error:
        assert str(error)
        return
    assert found.dtype == np.uint8
    assert found.ndim == 2
