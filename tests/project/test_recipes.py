"""Every recipe parses into a valid configuration, and its header tells command, expected result and source."""

import importlib
import re
import shlex

import pytest
from absl import flags

from deeplab import cli
from deeplab.config.training import TrainConfig
from deeplab.data.catalog import CATALOG
from helpers.places import ROOT
from helpers.programs import CONFIG_OF

RECIPES = sorted((ROOT / "scripts" / "recipes").glob("*.flags"))
CAMVID = ("camvid_mobilenet_v2", "camvid_mobilenet_v2_hour", "camvid_mobilenet_v2_finetune")
OWN_DATASETS = dict.fromkeys(CAMVID, 11) | {
    "quickstart": 7,
    "own_data": 7,
}  # classes; these have a dataset.json instead of a name
DOCUMENTED = {  # as the reference documents: what each published recipe trains
    "voc_xception_65": ("xception_65", 16, (6, 12, 18), (4,), (513, 513), 30000),
    "voc_mobilenet_v2": ("mobilenet_v2", 16, (), None, (513, 513), 30000),
    "cityscapes_xception_65": ("xception_65", 16, (6, 12, 18), (4,), (769, 769), 90000),
    "cityscapes_xception_71_dpc": ("xception_71", 16, (6, 12, 18), (4,), (769, 769), 90000),
    "cityscapes_mobilenet_v3_large": ("mobilenet_v3_large_seg", 32, (), (8,), (769, 769), 90000),
    "cityscapes_mobilenet_v3_small": ("mobilenet_v3_small_seg", 32, (), (8,), (769, 769), 90000),
    "ade20k_xception_65": ("xception_65", 16, (6, 12, 18), (4,), (513, 513), 150000),
}


def _config(recipe, *more):
    arguments = ["train", f"--flagfile={recipe}", "--dataset_dir=shards", "--train_logdir=log", *more]
    return cli.read(TrainConfig, arguments, flags.FlagValues())


def _network(recipe):
    config = _config(recipe)
    classes = OWN_DATASETS.get(recipe.stem) or CATALOG[config.dataset].num_classes
    return config, config.model_config(classes)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_a_valid_configuration(recipe):
    config, network = _network(recipe)
    assert network.output_stride in (8, 16, 32)
    assert config.dataset is None or config.train_split in CATALOG[config.dataset].splits
    factor = config.augment.resize_factor
    assert factor in (None, network.output_stride)  # reference: resize_factor has to equal the output stride


@pytest.mark.parametrize("name", DOCUMENTED)
def test_recipe_is_the_published_one(name):
    config, network = _network(ROOT / "scripts" / "recipes" / f"{name}.flags")
    found = (network.model_variant, network.output_stride, network.rates, network.decoder_output_stride)
    assert (*found, config.train_crop_size, config.schedule.training_number_of_steps) == DOCUMENTED[name]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_header_tells_result_and_source_and_its_commands_parse(recipe):
    header = "\n".join(
        line.removeprefix("#").strip() for line in recipe.read_text("utf-8").splitlines() if line[:1] == "#"
    )
    assert re.search(r"^Expected: ", header, re.MULTILINE)
    assert re.search(r"^Source: ", header, re.MULTILINE)
    commands = re.findall(r"^(?:python -m deeplab\.|bash scripts/).*$", header.replace("\\\n", " "), re.MULTILINE)
    assert commands
    for command in commands:
        words = shlex.split(command)
        if words[0] == "python":
            assert recipe.name in command or words[2] == "deeplab.eval"
            module, name = CONFIG_OF[words[2].removeprefix("deeplab.")]
            arguments = [word.replace("=scripts/", f"={ROOT}/scripts/") for word in words[3:]]
            cli.read(getattr(importlib.import_module(module), name), ["program", *arguments], flags.FlagValues())
