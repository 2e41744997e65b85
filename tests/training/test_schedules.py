"""Learning rates, compared with those of the original (tests/golden/pipeline/learning_rate)."""

import dataclasses
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.optimization import ScheduleConfig
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


POLY = ScheduleConfig(base_learning_rate=0.01, training_number_of_steps=100)


@pytest.mark.parametrize(
    ("before", "now", "step", "said"),
    [
        ({}, {}, 100, None),
        ({}, {"training_number_of_steps": 200}, 0, None),
        ({}, {"training_number_of_steps": 200}, 100, "=200 in place of 100: .* from 0.000158 at step 100 to 0.00536 at "
         "step 101. --decay_steps=100 keeps .* ends with 0 at step 100"),
        ({}, {"training_number_of_steps": 50}, 20, "from 0.00827 at step 20 to 0.00631 at step 21. --decay_steps=100"),
        ({"slow_start_step": 10}, {"training_number_of_steps": 200}, 50, "--decay_steps=90 keeps"),
        ({}, {"training_number_of_steps": 200, "decay_steps": 100.0}, 60, "^The learning rate is 0 after step 100, "),
        ({}, {"training_number_of_steps": 200, "decay_steps": 100.0, "end_learning_rate": 1e-3}, 100,
         "end_learning_rate=0.001 in place of 0: .* to 0.001 at step 101$"),
        ({"decay_steps": 50.0, "end_learning_rate": 1e-3}, {"training_number_of_steps": 200}, 50, None),
        ({"learning_policy": "cosine"}, {"training_number_of_steps": 200}, 100, "to 0.005 at step 101$"),
        ({"learning_policy": "step"}, {"training_number_of_steps": 200}, 100, None),
    ],
)  # fmt: skip
def test_a_rate_that_jumps_is_said(before, now, step, said):
    earlier = dataclasses.replace(POLY, **before)
    lines = schedules.notes(dataclasses.replace(earlier, **now), step, earlier)
    assert len(lines) == bool(said)
    assert not said or re.search(said, lines[0])


def test_decay_steps_keep_the_curve():
    longer = dataclasses.replace(POLY, training_number_of_steps=200, decay_steps=100.0)
    rates = [[float(schedules.learning_rate(config, step)) for step in range(101)] for config in (POLY, longer)]
    assert rates[0] == rates[1]


OTHERWISE = {  # option: (a schedule in which it has an effect, another value of the option)
    "learning_policy": ({}, "cosine"),
    "base_learning_rate": ({}, 0.3),
    "training_number_of_steps": ({}, 50),
    "decay_steps": ({}, 30.0),
    "end_learning_rate": ({}, 0.01),
    "learning_power": ({}, 1.0),
    "learning_rate_decay_factor": ({"learning_policy": "step"}, 0.5),
    "learning_rate_decay_step": ({"learning_policy": "step"}, 20),
    "learning_rate_boundaries": ({"learning_policy": "piecewise", "learning_rate_values": (0.1, 0.2)}, (30,)),
    "learning_rate_values": ({"learning_policy": "piecewise", "learning_rate_boundaries": (40,)}, (0.1, 0.3)),
    "slow_start_step": ({}, 20),
    "slow_start_learning_rate": ({"slow_start_step": 20}, 0.002),
    "slow_start_burnin_type": ({"slow_start_step": 20}, "linear"),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_every_option_changes_the_rates(name):
    base, value = OTHERWISE[name]
    plain = {"base_learning_rate": 0.1, "training_number_of_steps": 100, "learning_rate_decay_step": 30, **base}
    if plain.get("learning_policy") == "piecewise":
        plain = {"learning_rate_boundaries": (40,), "learning_rate_values": (0.1, 0.2), **plain}
    before, after = (
        np.array([schedules.learning_rate(ScheduleConfig(**options), step) for step in range(0, 100, 7)])
        for options in (plain, {**plain, name: value})
    )
    assert np.abs(after - before).max() > 1e-4


def test_every_option_of_the_schedule_is_tried():
    assert set(OTHERWISE) == {field.name for field in dataclasses.fields(ScheduleConfig)}
