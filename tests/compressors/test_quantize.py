"""Quantisers: what int8 does with the last layer."""

import numpy as np
import pytest

from mlbench.compression.chain import parse_chain
from mlbench.contracts import Context, Form
from mlbench.export.written import file_of, written
from mlbench.faces.landmarks import Landmarks
from mlbench.networks import building, storage
from mlbench.system.progress import Silent
from tests.conftest import TINY
from tests.fitted import points_in


@pytest.mark.parametrize(("chain", "in_steps"), [("int8", False), ("int8(last=int8)", True)])
def test_coordinates_come_in_256_steps_only_where_the_last_layer_is_int8(sampled, tmp_path, chain, in_steps):
    network = building.build(TINY, Landmarks(), sampled, 7)
    building.start_from_prior(network, Landmarks().prior(sampled))
    [step] = parse_chain(chain).compressors
    form = step.compress(Form(network), Context(sampled, 7, Silent()))
    storage.save(form.network, tmp_path)
    written(tmp_path, form.export, sampled)
    found = points_in(file_of(tmp_path, form.export), sampled.take(slice(0, 40)))
    assert (len(np.unique(found)) <= 256) == in_steps
