"""Command lines as the original documents them parse here and describe the networks that they built there."""

import copy
import dataclasses
import importlib
import re
import shlex

import pytest
from absl import flags

import deeplab
from deeplab import cli
from deeplab.data.catalog import CATALOG
from deeplab.errors import UserError
from helpers import original_flags
from helpers.places import ROOT
from helpers.programs import CONFIG_OF

XCEPTION = "--model_variant=xception_65 --atrous_rates=6 --atrous_rates=12 --atrous_rates=18 --decoder_output_stride=4"
DPC = "--dense_prediction_cell_json=deeplab/core/dense_prediction_cell_branch5_top1_cityscapes.json"
MOBILENET_V3 = (
    "--image_pooling_crop_size=769,769 --image_pooling_stride=4,5 --add_image_level_feature=1 "
    "--aspp_convs_filters=128 --aspp_with_concat_projection=0 --aspp_with_squeeze_and_excitation=1 "
    "--decoder_use_sum_merge=1 --decoder_filters=19 --decoder_output_is_logits=1 --image_se_uses_qsigmoid=1 "
    "--image_pyramid=1 --decoder_output_stride=8 --output_stride=32"
)
ADE20K = "--dataset=ade20k --min_resize_value=513 --max_resize_value=513 --resize_factor=16"
TRAIN = "--logtostderr --train_logdir=exp/train --dataset_dir=tfrecord --tf_initial_checkpoint=init/model.ckpt"
EVAL = "--logtostderr --checkpoint_dir=exp/train --eval_logdir=exp/eval --dataset_dir=tfrecord"
VIS = "--logtostderr --checkpoint_dir=exp/train --vis_logdir=exp/vis --dataset_dir=tfrecord"
EXPORT = "--logtostderr --checkpoint_path=exp/train/model.ckpt-10 --export_path=exp/frozen_inference_graph.pb"
LOCAL_TEST = "--training_number_of_steps=10 --fine_tune_batch_norm=true --train_batch_size=4"
COMMANDS = {  # what it is: (program, flags, model of the zoo with that network or a dict, what else its flags say)
    "VOC, train": (
        "train",
        f'{TRAIN} --training_number_of_steps=30000 --train_split="train" {XCEPTION} --output_stride=16 '
        '--train_crop_size="513,513" --train_batch_size=1 --dataset="pascal_voc_seg"',
        "xception65_coco_voc_trainaug",
        {"train_crop_size": (513, 513), "train_batch_size": 1, "train_split": "train"},
    ),
    "VOC, eval": (
        "eval",
        f'{EVAL} --eval_split="val" {XCEPTION} --output_stride=16 --eval_crop_size="513,513" '
        '--dataset="pascal_voc_seg" --max_number_of_evaluations=1',
        "xception65_coco_voc_trainaug",
        {"eval_crop_size": (513, 513), "eval_split": "val"},
    ),
    "VOC, eval at many scales": (
        "eval",
        f"{EVAL} --model_variant=xception_65 --atrous_rates=12 --atrous_rates=24 --atrous_rates=36 --output_stride=8 "
        "--decoder_output_stride=4 --eval_crop_size=513,513 --eval_scales=0.5 --eval_scales=0.75 --eval_scales=1.0 "
        "--eval_scales=1.25 --eval_scales=1.5 --eval_scales=1.75 --add_flipped_images=true",
        "xception65_coco_voc_trainval",
        {"passes.eval_scales": (0.5, 0.75, 1.0, 1.25, 1.5, 1.75), "passes.add_flipped_images": True},
    ),
    "VOC, vis": (
        "vis",
        f'{VIS} --vis_split="val" {XCEPTION} --output_stride=16 --vis_crop_size="513,513" '
        '--dataset="pascal_voc_seg" --max_number_of_iterations=1',
        "xception65_coco_voc_trainaug",
        {"vis_crop_size": (513, 513), "vis_split": "val"},
    ),
    "VOC, local_test.sh": (
        "train",
        f"{TRAIN} --train_split=trainval {XCEPTION} --output_stride=16 --train_crop_size=513,513 {LOCAL_TEST}",
        "xception65_coco_voc_trainaug",
        {"schedule.training_number_of_steps": 10, "train_batch_size": 4, "train_split": "trainval"},
    ),
    "VOC, local_test.sh, export": (
        "export",
        f"{EXPORT} {XCEPTION} --output_stride=16 --num_classes=21 --crop_size=513 --crop_size=513 "
        "--inference_scales=1.0",
        "xception65_coco_voc_trainaug",
        {"crop_size": (513, 513), "inference_scales": (1.0,)},
    ),
    "VOC, local_test_mobilenetv2.sh": (
        "train",
        f"{TRAIN} --train_split=trainval --model_variant=mobilenet_v2 --output_stride=16 "
        f"--train_crop_size=513,513 {LOCAL_TEST}",
        "mobilenetv2_coco_voc_trainaug",
        {"train_crop_size": (513, 513)},
    ),
    "VOC, local_test_mobilenetv2.sh, export": (
        "export",
        f"{EXPORT} --model_variant=mobilenet_v2 --num_classes=21 --crop_size=513 --crop_size=513 "
        "--inference_scales=1.0",
        "mobilenetv2_coco_voc_trainval",  # export defaults to output stride 8
        {"crop_size": (513, 513)},
    ),
    "VOC, half of the channels": (
        "train",
        f"{TRAIN} --model_variant=mobilenet_v2 --depth_multiplier=0.5 --output_stride=16",
        "mobilenetv2_dm05_coco_voc_trainaug",
        {"augment.min_scale_factor": 0.5},
    ),
    "Cityscapes, train": (
        "train",
        f'{TRAIN} --training_number_of_steps=90000 --train_split="train_fine" {XCEPTION} --output_stride=16 '
        '--train_crop_size="769,769" --train_batch_size=1 --dataset="cityscapes"',
        "xception65_cityscapes_trainfine",
        {"train_crop_size": (769, 769), "schedule.training_number_of_steps": 90000},
    ),
    "Cityscapes, train, dense prediction cell": (
        "train",
        f"{TRAIN} --train_split=train_fine --model_variant=xception_71 {DPC} --output_stride=16 "
        "--decoder_output_stride=4 --train_crop_size=769,769 --train_batch_size=1 --dataset=cityscapes",
        "xception71_dpc_cityscapes_trainfine",
        {},
    ),
    "Cityscapes, eval": (
        "eval",
        f'{EVAL} --eval_split="val_fine" {XCEPTION} --output_stride=16 --eval_crop_size="1025,2049" '
        '--dataset="cityscapes"',
        "xception65_cityscapes_trainfine",
        {"eval_crop_size": (1025, 2049), "eval_split": "val_fine"},
    ),
    "Cityscapes, vis": (
        "vis",
        f'{VIS} --vis_split="val_fine" {XCEPTION} --output_stride=16 --vis_crop_size="1025,2049" '
        '--dataset="cityscapes" --colormap_type="cityscapes" --also_save_raw_predictions=true',
        "xception65_cityscapes_trainfine",
        {"vis_crop_size": (1025, 2049), "colormap_type": "cityscapes", "also_save_raw_predictions": True},
    ),
    "Cityscapes, MobileNet v3 large": (
        "train",
        f"{TRAIN} --model_variant=mobilenet_v3_large_seg {MOBILENET_V3} --train_crop_size=769,769 "
        "--dataset=cityscapes --initialize_last_layer=false",
        "mobilenetv3_large_cityscapes_trainfine",
        {"initialize_last_layer": False},
    ),
    "Cityscapes, MobileNet v3 small": (
        "eval",
        f"{EVAL} --model_variant=mobilenet_v3_small_seg {MOBILENET_V3} --eval_crop_size=1025,2049 --dataset=cityscapes",
        "mobilenetv3_small_cityscapes_trainfine",
        {"eval_crop_size": (1025, 2049)},
    ),
    "Cityscapes, EdgeTPU": (
        "train",
        f"{TRAIN} --model_variant=mobilenet_edgetpu --aspp_convs_filters=256 --output_stride=32 --dataset=cityscapes",
        "EdgeTPU-DeepLab",
        {},
    ),
    "Cityscapes, EdgeTPU slim": (
        "train",
        f"{TRAIN} --model_variant=mobilenet_edgetpu --depth_multiplier=0.75 --aspp_convs_filters=128 "
        "--output_stride=32 --dataset=cityscapes",
        "EdgeTPU-DeepLab-slim",
        {},
    ),
    "ADE20K, train": (
        "train",
        f'{TRAIN} --training_number_of_steps=150000 --train_split="train" {XCEPTION} --output_stride=16 '
        f'--train_crop_size="513,513" --train_batch_size=4 {ADE20K}',
        {"model_variant": "xception_65", "output_stride": 16, "decoder_output_stride": (4,), "num_classes": 151},
        {"augment.min_resize_value": 513, "augment.resize_factor": 16, "train_batch_size": 4},
    ),
    "ADE20K, eval": (
        "eval",
        f'{EVAL} --eval_split="val" {XCEPTION} --output_stride=16 --eval_crop_size="513,513" {ADE20K}',
        {"model_variant": "xception_65", "output_stride": 16, "decoder_output_stride": (4,), "num_classes": 151},
        {"resize.max_resize_value": 513, "eval_crop_size": (513, 513)},
    ),
    "ADE20K, MobileNet v2": (
        "vis",
        f"{VIS} --model_variant=mobilenet_v2 --output_stride=16 --decoder_output_stride=4 --vis_crop_size=257,257 "
        "--dataset=ade20k --min_resize_value=257 --max_resize_value=257 --resize_factor=16 --colormap_type=ade20k",
        "mobilenetv2_ade20k_train",
        {"resize.max_resize_value": 257, "colormap_type": "ade20k"},
    ),
    "ResNet with multi grid": (
        "train",
        f"{TRAIN} --model_variant=resnet_v1_101_beta --multi_grid=1 --multi_grid=2 --multi_grid=4 --output_stride=16 "
        "--atrous_rates=6 --atrous_rates=12 --atrous_rates=18 --decoder_output_stride=4 --weight_decay=0.0001",
        {"model_variant": "resnet_v1_101_beta", "multi_grid": (1, 2, 4), "decoder_output_stride": (4,)},
        {"optimizer.weight_decay": 1e-4},
    ),
    "export at many scales": (
        "export",
        f"{EXPORT} {XCEPTION} --output_stride=16 --inference_scales=0.5 --inference_scales=1.0 --add_flipped_images",
        "xception65_coco_voc_trainaug",
        {"inference_scales": (0.5, 1.0), "add_flipped_images": True},
    ),
}
PARAMETERS = {  # trainable; xception_65, the reference's ResNet and a decoder of 151 classes are counted in other tests
    "VOC, local_test_mobilenetv2.sh": 2_113_557,
    "Cityscapes, MobileNet v3 small": 468_830,
    "ADE20K, MobileNet v2": 2_304_519,
}


def parse(program, arguments):
    module, name = CONFIG_OF[program]
    arguments = shlex.split(arguments) if isinstance(arguments, str) else arguments
    values = flags.FlagValues()
    values["logtostderr"] = copy.deepcopy(flags.FLAGS["logtostderr"])  # absl's own, which `cli.main` has
    return cli.read(getattr(importlib.import_module(module), name), [program, *arguments], values)


def network(program, config):
    """The `ModelConfig` that a program builds where there is no config.json."""
    dataset = CATALOG[(config.dataset if program == "train" else config.dataset_name) or "pascal_voc_seg"]
    if program == "train":
        return config.model_config(dataset.num_classes)
    options = {"num_classes": dataset.num_classes, **config.model_defaults, **config.model}
    crop = {"eval": "eval_crop_size", "vis": "vis_crop_size", "export": "crop_size"}[program]
    return deeplab.ModelConfig(**options, crop_size=getattr(config, crop))


def described(config):
    """What a network is made of: rates resolved, ways of writing the same thing made equal."""
    from deeplab.model.heads import dense_prediction_cell

    facts = dataclasses.asdict(config) | {"atrous_rates": config.rates, "crop_size": None}
    cell = config.dense_prediction_cell_json
    facts["dense_prediction_cell_json"] = dense_prediction_cell.read(cell) if cell else None
    facts["image_pyramid"] = config.image_pyramid or (1.0,)
    return facts


@pytest.mark.parametrize("what", COMMANDS)
def test_builds_the_network_it_built_there(what):
    program, arguments, model, told = COMMANDS[what]
    config = parse(program, arguments)
    expected = deeplab.ModelConfig(**{"output_stride": 16, **model}) if isinstance(model, dict) else None
    expected = expected or deeplab.MODELS[model].config
    assert described(network(program, config)) == described(expected)
    for path, value in told.items():
        found = config
        for name in path.split("."):
            found = getattr(found, name)
        assert found == value, path


@pytest.mark.slow
@pytest.mark.parametrize("what", PARAMETERS)
def test_has_the_parameters_it_had_there(what):
    program, arguments, _, _ = COMMANDS[what]
    model = deeplab.build_model(network(program, parse(program, arguments)))
    assert sum(variable.value.shape.num_elements() for variable in model.trainable_variables) == PARAMETERS[what]


@pytest.mark.parametrize("program", original_flags.OWN)
def test_every_flag_is_taken_with_its_default_or_refused(program):
    module, name = CONFIG_OF[program]
    config_class = getattr(importlib.import_module(module), name)
    original = original_flags.COMMON | original_flags.OWN[program]
    taken = {field.name: field.default for field, _owner, _optional in cli.all_fields(config_class)}
    taken["output_stride"] = {"train": 16, "eval": 16, "vis": 16, "export": 8}[program]  # where no config.json says it
    refused = original_flags.REFUSED[program] | original_flags.REFUSED_EVERYWHERE
    assert set(original) <= set(taken) | refused
    assert not refused & set(taken)
    expected = original | {name: value for name, value in original_flags.DIFFERENT.items() if name in original}
    assert {name: taken[name] for name in set(original) - refused} == {n: expected[n] for n in set(original) - refused}


@pytest.mark.parametrize("program", original_flags.OWN)
def test_refused_flags_say_what_replaces_them(program):
    for name in original_flags.REFUSED[program] | original_flags.REFUSED_EVERYWHERE:
        for argument in (f"--{name}=2", f"--{name}", f"--no{name}"):
            with pytest.raises(UserError, match=rf"--{name} does not exist any more: \w.{{15}}"):
                parse(program, [argument])


def test_output_strides_are_those_of_the_original_programs():
    assert network("train", parse("train", TRAIN)).output_stride == 16
    assert network("eval", parse("eval", EVAL)).output_stride == 16
    assert network("vis", parse("vis", VIS)).output_stride == 16
    assert network("export", parse("export", EXPORT)).output_stride == 8


def test_a_cell_file_of_that_name_goes_before_the_published_one(tmp_path):
    from deeplab.model.heads import dense_prediction_cell

    path = tmp_path / "dense_prediction_cell_branch5_top1_cityscapes.json"
    path.write_text('[{"op": "conv", "input": -1, "kernel": 1}]')
    assert len(dense_prediction_cell.read(str(path))) == 1
    assert len(dense_prediction_cell.read(f"deeplab/core/{path.name}")) == 5


def test_the_migration_page_names_every_flag_and_what_differs():
    page = (ROOT / "README.md").read_text("utf-8").partition("## Coming from the original\n")[2].partition("\n## ")[0]
    same, differs = page.partition("| differs | how |")[::2]
    named = set(re.findall(r"`(?:--)?(\w+)`", page))
    programs = original_flags.OWN
    assert not {name for program in programs for name in original_flags.COMMON | programs[program]} - named
    explained = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| ([^|]*) \|", differs, re.MULTILINE))))
    refused = original_flags.REFUSED_EVERYWHERE.union(*original_flags.REFUSED.values())
    assert explained >= refused | (set(original_flags.DIFFERENT) - {"label_weights"})
    assert not refused & set(re.findall(r"`(\w+)`", same))
    for path in re.findall(r"`((?:deeplab|scripts|tests)/[\w/.]+)`", page):
        assert (ROOT / path).exists(), path
