"""Regions of equal layers."""

import pytest

from wsekern.planning.regions import shapes_of
from wsekern.workload import bundled_models, load_config


@pytest.mark.parametrize("model", bundled_models())
def test_one_region_can_keep_all_layers_of_any_model(model):
    config = load_config(model)
    assert [(shape.layers, shape.count) for shape in shapes_of(config, 9, 9, config.layers)] == [(config.layers, 1)]
    assert sum(shape.layers * shape.count for shape in shapes_of(config, 9, 9, 2)) == config.layers
