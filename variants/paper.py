"""The paper's three networks (section 3): the same filters, with three, two or one max-pools.

They take a grey crop of 96×96 pixels and answer the coordinates of 68 landmarks.
"""

from typing import Any

from mlbench.contracts import Block, Variant

#: The paper's limits of a file (section 1), bytes: one asset of a package, and a package in the store.
_LIMITS = {"asset file": 68e6, "store package": 100e6}

_FOR: dict[str, Any] = {"shape": (96, 96, 1), "outputs": 136, "limits": _LIMITS}

BASIC = Variant(
    "basic",
    "three max-pools; the one that fitted the paper's phone",
    blocks=(Block(32, 3, pool=True), Block(32, 2, pool=True), Block(64, 2, pool=True)),
    **_FOR,
)
TWO_POOL = Variant(
    "two_pool",
    "two max-pools; 120 MiB, did not fit",
    blocks=(Block(32, 3, pool=False), Block(32, 2, pool=True), Block(64, 2, pool=True)),
    **_FOR,
)
ONE_POOL = Variant(
    "one_pool",
    "one max-pool; 518 MiB, did not fit",
    blocks=(Block(32, 3, pool=False), Block(32, 2, pool=False), Block(64, 2, pool=True)),
    **_FOR,
)
