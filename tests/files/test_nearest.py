"""A mistyped name finds the names that it may have meant."""

import pytest

from deeplab.config import presets
from deeplab.files.nearest import _ALIASES, hint, nearest
from helpers.programs import CONFIG_OF, flags_of

MEANT = [  # program, what people type, the flag that they mean
    ("train", "data_dir", "dataset_dir"),
    ("train", "lr", "base_learning_rate"),
    ("train", "epochs", "training_number_of_steps"),
    ("train", "batch-size", "train_batch_size"),
    ("train", "output_dir", "train_logdir"),
    ("train", "weights", "tf_initial_checkpoint"),
    ("train", "model_varient", "model_variant"),
    ("eval", "data_dir", "dataset_dir"),
    ("predict", "image", "input"),
    ("predict", "out", "output"),
    ("predict", "weights", "checkpoint_dir"),
    ("export", "output_dir", "export_path"),
    ("export", "quantise", "quantize"),
    ("serve", "model_path", "saved_model"),
]


@pytest.mark.parametrize(("program", "typed", "meant"), MEANT)
def test_flags_are_found_by_meaning_and_by_letters(program, typed, meant):
    assert nearest(typed, flags_of(program))[0] == meant


def test_every_name_of_other_programs_leads_to_a_name_of_ours():
    ours = {flag for program in CONFIG_OF for flag in flags_of(program)} | {"output_dir", *CONFIG_OF, "build", "check"}
    assert {other for others in _ALIASES.values() for other in others} <= ours


def test_nothing_is_near_to_nonsense():
    assert nearest("zzqy", flags_of("train")) == []
    assert hint("zzqy", flags_of("train")) == ""


def test_hint_names_few():
    assert hint("data_dir", ["dataset_dir", "x"], "--") == "; did you mean --dataset_dir?"
    assert len(nearest("a", [f"a{i}" for i in range(9)])) <= 3


def test_presets_are_found():
    first = next(iter(presets.MODELS))
    assert nearest(first[:-2], presets.MODELS)
