"""How much of the whole front's hypervolume each sampler finds, replayed over tests/search/table.json.

python -m tests.benchmarks.search_replayed
"""

from __future__ import annotations

import argparse

import numpy as np

from mlbench.search.study import SAMPLERS
from tests.search.test_replayed import TRIALS, share_of


def main() -> None:
    """Print a row per sampler."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    seeds = range(parser.parse_args().seeds)
    print(f"| sampler | mean of {len(seeds)} seeds, {TRIALS} trials | lowest |\n| --- | --- | --- |")
    for sampler in SAMPLERS:
        shares = [share_of(sampler, seed) for seed in seeds]
        print(f"| `{sampler}` | {np.mean(shares):.1%} | {min(shares):.1%} |", flush=True)


if __name__ == "__main__":
    main()
