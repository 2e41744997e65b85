"""Learning rates, compared with those of the original (tests/golden/pipeline/learning_rate)."""

import json

import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.training import ScheduleConfig
from deeplab.errors import UserError
from deeplab.training import schedules
from helpers.places import GOLDEN_PIPELINE

GOLDEN = GOLDEN_PIPELINE / "learning_rate"
CASES = json.loads(GOLDEN.with_suffix(".json").read_text())
RATES = dict(np.load(GOLDEN.with_suffix(".npz")))
RENAMED = {"boundaries": "learning_rate_boundaries", "boundary_learning_rates": "learning_rate_values"}


@pytest.mark.parametrize("case", sorted(CASES))
def test_rate_equals_the_originals(case):
    options = {RENAMED.get(name, name): value for name, value in CASES[case].items()}
    if options["learning_policy"] == "multi_steps":
        options["learning_policy"] = "piecewise"
    config = ScheduleConfig(**options)
    rates = [schedules.learning_rate(config, tf.constant(step, tf.int64)).numpy() for step in RATES["steps"]]
    np.testing.assert_allclose(rates, RATES[case], rtol=1e-5, atol=5e-9)  # 1 - 2^-24 instead of 1 at the last step


@pytest.mark.parametrize(
    "options",
    [
        {"training_number_of_steps": 0},
        {"slow_start_step": 40000},
        {"learning_policy": "piecewise", "learning_rate_boundaries": (10,), "learning_rate_values": (0.1,)},
        {"learning_policy": "exponential"},
    ],
)
def test_nonsense_is_refused(options):
    with pytest.raises(UserError, match=list(options)[-1]):
        ScheduleConfig(**options)
