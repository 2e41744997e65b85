"""The planner: strides become rates, one layer late."""

import math

import pytest

from deeplab.model.atrous import Step, plan

STRIDES = [2, 1, 2, 1, 2, 2, 1, 2, 1]


def test_without_limit_strides_stay():
    assert plan([2, 1, 2], output_stride=4) == [Step(2, 1, 2), Step(1, 1, 2), Step(2, 1, 4)]


def test_the_layer_that_loses_its_stride_keeps_the_old_rate():
    assert plan([2, 2, 1, 2, 1], output_stride=2) == [
        Step(2, 1, 2),
        Step(1, 1, 2),
        Step(1, 2, 2),
        Step(1, 2, 2),
        Step(1, 4, 2),
    ]


@pytest.mark.parametrize("output_stride", [2, 4, 8, 16, 32])
def test_resolution_and_field_of_view(output_stride):
    steps = plan(STRIDES, output_stride)
    assert steps[-1].at == output_stride == math.prod(step.stride for step in steps)
    nominal = 1
    for stride, step in zip(STRIDES, steps, strict=True):
        assert step.rate * (step.at // step.stride) == nominal  # pixels between the taps of the kernel: never changed
        nominal *= stride


def test_starts_where_it_is_told():
    assert plan([2], output_stride=8, at=4) == [Step(2, 1, 8)]


def test_unreachable_output_stride_is_refused():
    with pytest.raises(ValueError, match="output_stride=8 cannot be reached"):
        plan([3, 3], output_stride=8)
