import math
import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.errors import UsageError
from mlbench.faces.csv_format import COLUMNS, read_csv, write_csv
from mlbench.faces.dataset import Faces, read_npz, write_npz
from mlbench.faces.files import iter_faces, read_faces
from mlbench.faces.landmarks import samples_of

float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def some_faces(n=3, seed=0):
    random = np.random.default_rng(seed)
    points = random.normal(48, 30, (n, 68, 2)).astype(np.float32)
    images = random.integers(0, 256, (n, 96, 96)).astype(np.uint8)
    return Faces(images, points, np.array([f"Ada_Lovelace_{i:04}.jpg" for i in range(n)]))


def same(found, wanted):
    """Whether images and points are the same; a CSV keeps no names."""
    return (found.images == wanted.images).all() and (found.points == wanted.points).all()


def lines_of(path):
    return path.read_text().splitlines()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "faces.csv"
    write_csv(some_faces(), path)
    return path


def edit(path, line, column, text):
    """Replace one cell; line 1 is the header."""
    lines = lines_of(path)
    cells = lines[line - 1].split(",")
    cells[COLUMNS.index(column)] = text
    lines[line - 1] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")


def test_the_file_is_the_papers(file):
    header, first, *_ = lines_of(file)
    assert header.split(",")[:4] == ["x0", "y0", "x1", "y1"]
    assert header.split(",")[-3:] == ["x67", "y67", "Image"]
    cells = first.split(",")
    assert len(cells) == 137
    assert list(map(int, cells[-1].split(" "))) == some_faces().images[0].reshape(-1).tolist()
    assert float(cells[3]) == pytest.approx(some_faces().points[0, 1, 1])


@settings(max_examples=50, deadline=None)
@given(st.lists(float32, min_size=1, max_size=20), st.binary(min_size=1, max_size=50))
def test_csv_and_npz_give_back_the_same_faces(tmp_path_factory, coordinates, pixels):
    folder = tmp_path_factory.mktemp("round")
    points = np.resize(np.array(coordinates, np.float32), (1, 68, 2))
    pixels = (pixels * 9216)[:9216]
    faces = Faces(np.frombuffer(pixels, np.uint8).reshape(1, 96, 96), points, np.array(["0"]))
    write_csv(faces, folder / "a.csv")
    write_npz(read_csv(folder / "a.csv"), folder / "a.npz")
    again = read_npz(folder / "a.npz")
    assert again.points.tobytes() == points.tobytes()  # -0.0 and denormals too
    assert again.images.tobytes() == pixels
    assert samples_of(again).fingerprint == samples_of(faces).fingerprint


def test_every_float32_of_a_sample_survives(tmp_path):
    bits = np.random.default_rng(1).integers(0, 2**32, 68 * 2 * 300, dtype=np.uint32).view(np.float32)
    points = np.where(np.isfinite(bits), bits, 1.5).astype(np.float32).reshape(-1, 68, 2)
    faces = Faces(np.zeros((300, 96, 96), np.uint8), points, np.array([f"{i}" for i in range(300)]))
    write_csv(faces, tmp_path / "a.csv")
    assert read_csv(tmp_path / "a.csv").points.tobytes() == points.tobytes()


def test_names_are_kept_where_asked(tmp_path):
    write_csv(some_faces(), tmp_path / "a.csv", names=True)
    assert read_csv(tmp_path / "a.csv").names.tolist() == some_faces().names.tolist()
    write_csv(some_faces(), tmp_path / "b.csv")
    assert read_csv(tmp_path / "b.csv").names.tolist() == ["0", "1", "2"]


def test_columns_are_found_by_name(file):
    rows = [line.split(",") for line in lines_of(file)]
    reversed_rows = [",".join([f"more{i}" if i else "Extra", *row[::-1]]) for i, row in enumerate(rows)]
    file.write_text("\n".join(reversed_rows).replace("Image", " image "))
    assert same(read_csv(file), some_faces())


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends_of_any_kind_and_mixed(file, end):
    header, *rows = lines_of(file)
    file.write_bytes(("\ufeff" + header + "\r\n" + rows[0] + end + rows[1] + "\n" + rows[2]).encode())
    assert same(read_csv(file), some_faces())


def test_quoted_cells_and_blank_lines(file):
    header, *rows = lines_of(file)
    quoted = [",".join(f'"{cell}"' for cell in row.split(",")) for row in rows]
    file.write_text("\n\n".join([header, *quoted]) + "\n\n")
    assert same(read_csv(file), some_faces())


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("x3", "three", "x3 is 'three', not a number"),
        ("x3", "", "x3 is '', not a number"),
        ("y67", "nan", "y67 is nan, not a finite number"),
        ("y67", "-inf", "y67 is -inf, not a finite number"),
        ("y67", "1e39", "y67 is 1e39, not a finite number"),
        ("Image", "1 2 3", "3 pixel values, not 9216"),
        ("Image", " ".join(["256"] + ["0"] * 9215), "a pixel is 256, not a whole number in 0..255"),
        ("Image", " ".join(["-1"] + ["0"] * 9215), "a pixel is -1, not a whole number in 0..255"),
        ("Image", " ".join(["1.5"] + ["0"] * 9215), "a pixel is 1.5, not a whole number in 0..255"),
        ("Image", " ".join(["nan"] + ["0"] * 9215), "a pixel is nan, not a whole number in 0..255"),
        ("Image", " ".join(["inf"] + ["0"] * 9215), "a pixel is inf, not a whole number in 0..255"),
        ("Image", " ".join(["x"] + ["0"] * 9215), "a pixel is 'x', not a number"),
        ("x0", "1,2", "138 cells, not 137"),
        ("x0", "9" * 300_000, "longer than 262,144 characters"),
    ],
)
def test_a_bad_row_is_skipped_and_listed(file, column, text, reason):
    edit(file, 3, column, text)
    skipped = []
    faces = read_csv(file, skipped)
    assert [str(row) for row in skipped] == [f"line 3: {reason}"]
    assert same(faces, some_faces().take(np.array([0, 2])))
    assert faces.names.tolist() == ["0", "2"]  # the numbers of their rows


def test_what_is_read_tells_of_the_skipped_rows(file, recwarn):
    assert read_faces(file).note == ""
    edit(file, 2, "x0", "?")
    edit(file, 4, "Image", "1")
    told = read_faces(file).note
    assert re.search("2 of 3 rows skipped: line 2: x0 .*; line 4: 1 pixel values", told)
    skipped = []
    assert [len(part) for part in iter_faces(file, 1, skipped=skipped)] == [1]
    assert [row.line for row in skipped] == [2, 4]
    assert not recwarn


def test_whole_numbers_written_otherwise_are_pixels(file):
    edit(file, 2, "Image", " ".join(["007", "7.0", "+7"] + ["0"] * 9213))
    assert read_csv(file).images[0].reshape(-1)[:4].tolist() == [7, 7, 7, 0]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "has no column 'x0'"),
        ("1,2,3\n", "has no column 'x0' .and 136 more"),
        (",".join(COLUMNS[:-1]) + "\n", "has no column 'Image'"),
        (",".join((*COLUMNS, "x5")) + "\n", "has column 'x5' twice"),
        (",".join(COLUMNS) + "\n", "holds no face"),
        (",".join(COLUMNS) + "\na,b\nc\n", r"none of its 2 rows is good \(line 2: 2 cells, not 137\)"),
    ],
)
def test_a_file_without_any_good_row_is_an_error(tmp_path, content, sentence):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=sentence):
        read_csv(path)


def test_a_truncated_file_keeps_its_whole_rows(file):
    data = file.read_bytes()
    file.write_bytes(data[: len(data) - 5000])
    skipped = []
    assert len(read_csv(file, skipped)) == 2
    assert [row.line for row in skipped] == [4]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_one_sentence(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "any.csv"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"any\.csv"):
        read_csv(path)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damage_to_rows_never_gives_bad_faces(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damage") / "faces.csv"
    write_csv(some_faces(2), path)
    text = bytearray(path.read_bytes())
    start = text.index(b"\n") + 1
    for _ in range(data.draw(st.integers(1, 5))):
        text[data.draw(st.integers(start, len(text) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(text)
    try:
        faces = read_csv(path, [])
    except UsageError:
        return
    assert faces.images.shape[1:] == (96, 96)
    assert np.isfinite(faces.points).all()
    assert len(faces) == len(faces.points) == len(faces.names) <= 3


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 14))
def test_batches_are_the_whole_file_in_order(tmp_path_factory, n, batch):
    folder = tmp_path_factory.mktemp("batches")
    faces = some_faces(n)
    for name, write in (("a.csv", write_csv), ("a.npz", write_npz)):
        write(faces, folder / name)
        parts = list(iter_faces(folder / name, batch))
        assert [len(part) for part in parts[:-1]] == [batch] * (math.ceil(n / batch) - 1)
        assert np.concatenate([part.images for part in parts]).tobytes() == faces.images.tobytes()
        assert np.concatenate([part.points for part in parts]).tobytes() == faces.points.tobytes()


def peak_kb(code, *arguments):
    """Peak resident memory of a fresh interpreter that runs `code`, in KB."""
    script = textwrap.dedent(code) + (
        "\nfrom pathlib import Path as P"
        "\nprint(next(l.split()[1] for l in P('/proc/self/status').read_text().splitlines() if 'VmHWM' in l))"
    )
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_reading_in_batches_needs_the_memory_of_a_batch(tmp_path):
    """A file of 50,000 faces has 460 MB of pixels; one of 3,000 shows what reading adds to a short one."""
    read = """
        import sys; from pathlib import Path; from mlbench.faces.files import iter_faces
        print(sum(len(faces) for faces in iter_faces(Path(sys.argv[1]), 256)))
        """
    peaks = {}
    for n in (300, 3000):
        faces = some_faces(n)
        write_csv(faces, tmp_path / "faces.csv")
        np.savez_compressed(
            tmp_path / "faces.npz", images=faces.images, points=faces.points, name=faces.names
        )
        for kind in ("csv", "npz"):
            peaks[kind, n] = peak_kb(read, tmp_path / f"faces.{kind}")
    pixels_kb = 2700 * 9216 / 1024
    for kind in ("csv", "npz"):
        assert peaks[kind, 3000] - peaks[kind, 300] < pixels_kb / 2, peaks
        assert peaks[kind, 3000] < 400_000, peaks
