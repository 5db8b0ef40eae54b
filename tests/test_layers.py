"""The core serves any task: none of its words is of the one that it was first written for."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "mlbench"
CORE = [
    *("contracts", "data", "networks", "training", "compression", "export", "evaluation", "records", "runs"),
    *("search", "system", "tasks"),
]

#: Whole words, also within names such as `face_count`; numbers that stand alone, also before a unit.
_WORDS = re.compile(
    r"(?<![a-z0-9])(faces?|landmarks?|crops?)(?![a-z0-9])|(?<![\d.])(68|96)(?!\d)", re.IGNORECASE
)


def _found(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for number, line in enumerate(lines, 1)
        if _WORDS.search(line)
    ]


@pytest.mark.parametrize(
    ("line", "hit"),
    [
        ("faces = read(path)", True),
        ("face_count: int", True),
        ("a 96×96 image", True),
        ("size=68MB", True),
        ("interface, surface, Cropping2D", False),
        ("0.0968, 4096, 1968, 0.96", False),
    ],
)
def test_the_pattern_finds_words_and_no_parts_of_others(line, hit):
    assert bool(_WORDS.search(line)) == hit


def test_the_core_knows_of_no_task():
    modules = [path for package in CORE for path in sorted((ROOT / package).rglob("*.py"))]
    modules += [ROOT / "plugins.py", ROOT / "errors.py"]
    assert len(modules) > 40
    told = [line for path in modules for line in _found(path)]
    assert told == []
