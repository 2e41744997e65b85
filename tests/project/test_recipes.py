"""Every recipe parses into a valid configuration, and its header tells command, expected result and source."""

import importlib
import re
import shlex

import pytest
from absl import flags

from deeplab import cli
from deeplab.config import recipes
from deeplab.config.training import TrainConfig
from deeplab.data.catalog import CATALOG
from deeplab.errors import UserError
from deeplab.programs.builders import shapes
from helpers.places import ROOT
from helpers.programs import BUILDERS, CONFIG_OF

RECIPES = sorted((ROOT / "deeplab" / "config" / "recipes").glob("*.flags"))
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
    config, network = _network(ROOT / "deeplab" / "config" / "recipes" / f"{name}.flags")
    found = (network.model_variant, network.output_stride, network.rates, network.decoder_output_stride)
    assert (*found, config.train_crop_size, config.schedule.training_number_of_steps) == DOCUMENTED[name]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_header_tells_result_and_source_and_its_commands_parse(recipe):
    header = "\n".join(
        line.removeprefix("#").strip() for line in recipe.read_text("utf-8").splitlines() if line[:1] == "#"
    )
    assert re.search(r"^Expected: ", header, re.MULTILINE)
    assert re.search(r"^Source: ", header, re.MULTILINE)
    commands = re.findall(r"^(?:deeplab |bash scripts/).*$", header.replace("\\\n", " "), re.MULTILINE)
    assert commands
    for command in commands:
        words = shlex.split(command)
        if words[0] == "deeplab":
            assert f"--recipe={recipe.stem}" in words or words[1] in ("eval", "build")
            module, name = BUILDERS[words[2]] if words[1] == "build" else CONFIG_OF[words[1]]
            arguments = words[3:] if words[1] == "build" else words[2:]
            cli.read(getattr(importlib.import_module(module), name), ["program", *arguments], flags.FlagValues())


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_files_of_the_scripts_name_the_recipes(recipe):
    """For command lines that name the files where they lay before."""
    assert (ROOT / "scripts" / "recipes" / recipe.name).read_text("utf-8") == f"--recipe={recipe.stem}\n"


def test_all_recipes_are_found_and_no_file_names_another():
    assert recipes.names() == [path.stem for path in RECIPES]
    assert {path.name for path in (ROOT / "scripts" / "recipes").iterdir()} == {path.name for path in RECIPES}


def read(*words):
    return cli.read(TrainConfig, ["train", "--dataset_dir=shards", "--train_logdir=log", *words], flags.FlagValues())


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_name_equals_the_flagfile(recipe):
    by_name = read(f"--recipe={recipe.stem}")
    assert by_name == read(f"--flagfile={recipe}") == read("--recipe", recipe.name)
    assert by_name == read(f"--flagfile={ROOT}/scripts/recipes/{recipe.name}")


def test_flags_after_a_recipe_go_before_it():
    name, flag = "--recipe=voc_xception_65", "--train_batch_size=3"
    assert read(name, flag).train_batch_size == 3
    assert read(flag, name).train_batch_size == 16
    assert read(name, "--atrous_rates=1,2").model["atrous_rates"] == (1, 2)
    assert read("--recipe=quickstart").train_logdir == "quickstart/train"


def test_a_flagfile_may_name_a_recipe(tmp_path):
    (tmp_path / "mine.flags").write_text("--recipe=voc_xception_65\n--train_batch_size=3\n")
    config = read(f"--flagfile={tmp_path / 'mine.flags'}", "--base_learning_rate=1")
    assert (config.train_batch_size, config.schedule.base_learning_rate) == (3, 1.0)
    assert config.model["model_variant"] == "xception_65"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--recipe=voc_xception"], "recipe='voc_xception': expected one of ade20k_.*; did you mean voc_xception_65"),
        (["--recipe=zzqy"], "recipe='zzqy': expected one of .*, voc_xception_65_trainval$"),
        (["--recipe="], "recipe='': expected one of"),
        (["--recipe"], "recipe='': expected one of"),
    ],
)
def test_unknown_names_are_told_with_the_known(words, told):
    with pytest.raises(UserError, match=told):
        read(*words)


def test_other_programs_say_who_takes_recipes():
    for program, (module, name) in {**CONFIG_OF, **BUILDERS}.items():
        config_class = getattr(importlib.import_module(module), name)
        if program != "train":
            with pytest.raises(UserError, match="--recipe is no flag of this program; a recipe is for train"):
                cli.read(config_class, [program, "--recipe=quickstart"], flags.FlagValues())
        assert all(recipe in cli.help_text(config_class, "") for recipe in recipes.names()) == (program == "train")


def test_quickstart_looks_where_the_shapes_are_built():
    assert cli.read(TrainConfig, ["train", "--recipe=quickstart"], flags.FlagValues()).dataset_dir == shapes.OUTPUT_DIR
