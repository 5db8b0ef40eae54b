"""What replaces layers by smaller ones stays in as few parts of the runtime's delegate as the network was in."""

from pathlib import Path

import pytest
from ai_edge_litert.interpreter import Interpreter

from mlbench.compression.chain import parse_chain
from mlbench.contracts import Context, ExportOptions, Form
from mlbench.export.written import file_of, written
from mlbench.faces.landmarks import Landmarks
from mlbench.networks import building, storage
from mlbench.system.progress import Silent
from tests.conftest import TINY


def _partitions(file: Path) -> int:
    interpreter = Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    return sum(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details())


@pytest.mark.parametrize(
    "chain",
    [
        "svd(rank=4)",
        "tucker(rank=4)",
        "cp(rank=4)",
        "tt(rank=4)",
        "hashing(8)",
        "slim",
        "tucker(rank=4)+int8",
        "cp(rank=4)+tt(rank=4)+int8",
    ],
)
def test_no_more_partitions_than_before(sampled, tmp_path, chain):
    form = Form(building.build(TINY, Landmarks(), sampled, 7))
    storage.save(form.network, tmp_path / "before")
    written(tmp_path / "before", ExportOptions(), sampled)
    for step in parse_chain(chain).compressors:
        form = step.compress(form, Context(sampled.take(slice(0, 64)), 7, Silent()))
    storage.save(form.network, tmp_path / "after")
    written(tmp_path / "after", form.export, sampled)
    before = _partitions(file_of(tmp_path / "before", ExportOptions()))
    assert 1 <= _partitions(file_of(tmp_path / "after", form.export)) <= before
