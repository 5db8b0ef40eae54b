"""Quantisers: what int8 does with the last layer."""

import numpy as np
import pytest

from mlbench.compression.chain import parse_chain
from mlbench.contracts import Context, Form
from mlbench.export.artifacts import answers
from mlbench.export.written import file_of, written
from mlbench.networks import building, storage
from mlbench.system.progress import Silent
from tests.conftest import TINY


@pytest.mark.parametrize(("chain", "in_steps"), [("int8", False), ("int8(last=int8)", True)])
def test_coordinates_come_in_256_steps_only_where_the_last_layer_is_int8(sampled, tmp_path, chain, in_steps):
    network = building.build(TINY, 7)
    building.start_from_mean(network, sampled.points.mean(axis=0))
    [step] = parse_chain(chain).compressors
    form = step.compress(Form(network), Context(sampled, 7, Silent()))
    storage.save(form.network, tmp_path)
    written(tmp_path, form.export, sampled)
    found = answers(file_of(tmp_path, form.export), sampled.images[:40])
    assert (len(np.unique(found)) <= 256) == in_steps
