"""Regions of equal layers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.planning import reference
from wsekern.planning._boxes import Wafer
from wsekern.planning.regions import shapes_of
from wsekern.workload import bundled_models, load_config


@pytest.mark.parametrize("model", bundled_models())
def test_one_region_can_keep_all_layers_of_any_model(model):
    config = load_config(model)
    assert [(shape.layers, shape.count) for shape in shapes_of(config, 9, 9, config.layers)] == [(config.layers, 1)]
    assert sum(shape.layers * shape.count for shape in shapes_of(config, 9, 9, 2)) == config.layers


@settings(max_examples=60, deadline=None)
@given(sides=st.tuples(st.integers(1, 40), st.integers(1, 40)), corner=st.tuples(st.integers(0, 30), st.integers(0, 30)),
       sizes=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=20))
def test_what_is_free_on_a_wafer_is_that_of_the_reference(sides, corner, sizes):
    kernel, plain = (kind(*sides) for kind in (Wafer, reference.Wafer))
    for wafer in (kernel, plain):
        wafer.take(*corner, 3, 5)
    for size in sizes:
        assert kernel.place(*size) == plain.place(*size)
        assert kernel.free == plain.free
