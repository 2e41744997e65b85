"""Which values of a parametrized test `--quick` runs."""

import pytest


def slow_except(values, *quick):
    """Returns `values` as parameters of a test or fixture; those that are not in `quick` are marked slow."""
    assert set(quick) <= set(values)
    return [pytest.param(value, marks=() if value in quick else pytest.mark.slow) for value in values]
