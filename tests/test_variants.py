"""The paper's networks, to the last parameter."""

import pytest

from mlbench import plugins
from mlbench.faces.landmarks import Landmarks
from mlbench.networks import building, counting, storage
from tests.conftest import TINY


@pytest.mark.parametrize(
    ("name", "parameters", "mmacs", "feature_map"),
    [
        ("basic", 8_326_340, 23.5, (11, 11, 64)),
        ("two_pool", 31_558_340, 86.1, (22, 22, 64)),
        ("one_pool", 136_006_340, 243.3, (46, 46, 64)),
    ],
)
def test_the_papers_networks_have_its_sizes(name, parameters, mmacs, feature_map):
    variant = plugins.load("variants", name)
    assert variant.parameters == parameters
    assert round(variant.macs / 1e6, 1) == mmacs
    assert variant.feature_map == feature_map


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("basic", [94, 47, 46, 23, 22, 11]),
        ("two_pool", [94, 93, 46, 45, 22]),
        ("one_pool", [94, 93, 92, 46]),
    ],
)
def test_feature_maps_shrink_as_valid_padding_says(name, sides):
    layers = plugins.load("variants", name).layers()
    assert [layer.output[0] for layer in layers if layer.kind in ("conv", "pool")] == sides


def test_the_built_network_is_the_definition(sampled):
    for variant in (plugins.load("variants", "basic"), TINY):
        network = building.build(variant, Landmarks(), sampled, seed=7)
        rows = counting.layer_table(network)
        assert network.count_params() == variant.parameters
        assert sum(row.macs for row in rows) == variant.macs
        assert network.output_shape == (None, 136)


def test_equal_seeds_give_equal_networks(sampled):
    first, again, other = (
        building.build(TINY, Landmarks(), sampled, seed).get_weights() for seed in (7, 7, 8)
    )
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_a_saved_network_is_the_network(tmp_path, sampled):
    network = building.build(TINY, Landmarks(), sampled, seed=7)
    storage.save(network, tmp_path)
    loaded = storage.load(tmp_path)
    assert loaded.get_config()["layers"] == network.get_config()["layers"]
    assert all((a == b).all() for a, b in zip(network.get_weights(), loaded.get_weights(), strict=True))
