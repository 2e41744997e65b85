"""The published models: every one builds as configured, and refers to what exists."""

import dataclasses
import subprocess
import sys

import pytest

import deeplab
from deeplab.config import recipes
from deeplab.config.inference import EvalConfig, PredictConfig
from deeplab.config.presets import model_options, preset
from deeplab.config.training import TrainConfig
from deeplab.data.catalog import CATALOG
from helpers.places import ROOT
from helpers.published import PARAMETERS
from helpers.speed import slow_except


@pytest.mark.parametrize("name", deeplab.MODELS)
def test_refers_to_what_exists(name):
    published = deeplab.MODELS[name]
    dataset = CATALOG[published.dataset]
    assert published.config.num_classes == dataset.num_classes
    assert published.config.output_stride == published.evaluations[0].output_stride
    assert all(
        (side - 1) % evaluation.output_stride == 0
        for evaluation in published.evaluations
        for side in published.crop_size
    )
    assert published.recipe is None or recipes.path(published.recipe).name == published.recipe
    assert published.archive.endswith(".tar.gz")


@pytest.mark.parametrize("name", slow_except(PARAMETERS, "mobilenetv2_coco_voc_trainaug"))
def test_has_the_published_size(name):
    model = deeplab.build_model(deeplab.MODELS[name].config, (*deeplab.MODELS[name].crop_size, 3))
    assert sum(variable.value.shape.num_elements() for variable in model.trainable_variables) == PARAMETERS[name]


@pytest.mark.parametrize("name", deeplab.MODELS)
def test_options_make_the_configuration(name):
    assert deeplab.ModelConfig(**model_options(name)) == deeplab.MODELS[name].config
    assert model_options(None) == {}


def test_entry_points_take_them_and_flags_go_before():
    name = "xception71_dpc_cityscapes_trainval"
    defaults = EvalConfig(checkpoint_dir="x", dataset_dir="y", preset=name).model_defaults
    assert deeplab.ModelConfig(**defaults) == deeplab.MODELS[name].config
    config = TrainConfig(train_logdir="x", dataset_dir="y", preset=name, model={"output_stride": 16})
    trained = deeplab.MODELS["xception71_dpc_cityscapes_trainfine"].config
    assert config.model_config(19) == dataclasses.replace(trained, crop_size=(513, 513))
    assert PredictConfig(input="x", output="y", checkpoint_dir="z", preset=name).dataset_name == "cityscapes"
    with pytest.raises(deeplab.UserError, match="preset='other'"):
        TrainConfig(train_logdir="x", dataset_dir="y", preset="other")


def test_unknown_names_are_refused():
    with pytest.raises(deeplab.UserError, match=r"preset='xception'.*xception65_coco_voc_trainaug"):
        preset("xception")


def test_needs_no_tensorflow():
    code = "import sys, deeplab; deeplab.MODELS; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
