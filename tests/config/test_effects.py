"""Every option changes something, or is refused: those that need another option say so when they are given alone."""

import importlib
import itertools
import shlex

import pytest
from absl import flags

from deeplab import MODELS, ModelConfig, UserError, cli
from deeplab.config import effects
from deeplab.config.options import field_kind
from helpers.places import ROOT
from helpers.programs import CONFIG_OF

BASE = {  # program: the flags without which it does not start
    "train": "--train_logdir=run --dataset_dir=shards",
    "eval": "--checkpoint_dir=run --dataset_dir=shards",
    "vis": "--checkpoint_dir=run --dataset_dir=shards",
    "predict": "--checkpoint_dir=run --input=photos --output=results",
    "export": "--checkpoint_dir=run --export_path=export",
    "serve": "--saved_model=export",
    "benchmark": "--cost",
}
NEEDS = {
    "train": effects.TRAIN,
    "eval": effects.EVAL,
    "vis": effects.VIS,
    "predict": effects.PREDICT,
    "export": effects.EXPORT,
    "serve": effects.SERVE,
    "benchmark": effects.BENCHMARK,
}
ALONE = {  # (program, option): further flags that make it an option without effect, where it has one by default
    **dict.fromkeys([("train", name) for name in ("base_learning_rate", "learning_policy", "slow_start_step")],
                    "--optimizer=adam"),
    **dict.fromkeys([("train", name) for name in ("decay_steps", "end_learning_rate", "learning_power")],
                    "--learning_policy=cosine"),
    **dict.fromkeys([("train", name) for name in ("momentum", "nesterov")], "--optimizer=adamw"),
    ("train", "learning_rate_boundaries"): "--learning_rate_values=0.1,0.2",
    ("train", "learning_rate_values"): "--learning_rate_boundaries=7",
    ("train", "save_summaries_secs"): "--nosave_summaries_images",
    ("train", "eval_interval_steps"): "--training_number_of_steps=3",
    ("train", "profile_logdir"): "--training_number_of_steps=10",
    **dict.fromkeys([(program, "dataset_dir") for program in ("train", "eval", "vis")],
                    "--dataset=tfds:voc --dataset_dir="),
    ("train", "tpu"): "--distribution_strategy=mirrored",
    ("train", "scale_factor_step_size"): "--min_scale_factor=1 --max_scale_factor=1",
    **dict.fromkeys([("eval", name) for name in ("eval_batch_size", "distribution_strategy")], "--tile_size=65,65"),
    **dict.fromkeys(itertools.product(("eval", "predict"), ("checkpoint", "use_moving_averages")),
                    "--saved_model=export --checkpoint_dir="),
    ("eval", "preset"): "--saved_model=export --checkpoint_dir=",
    ("eval", "eval_crop_size"): "--tile_size=65,65",
    ("predict", "batch_size"): "--save_probabilities",
    ("export", "dataset_dir"): "--noverify",
    ("export", "constant_weights"): "--format=frozen_graph",
    ("serve", "batch_timeout_ms"): "--max_batch_size=1",
    ("serve", "max_image_pixels"): "--max_pixels=1000",
}  # fmt: skip
TOGETHER = {  # words of the refusal: flags with which the option has an effect
    "without --dataset=tfds:NAME": "--dataset=tfds:voc --dataset_dir=",
    "without --tile_size": "--tile_size=65,65",
    "without --learning_policy=step": "--learning_policy=step",
    "without --learning_policy=piecewise": "--learning_policy=piecewise",
    "without --slow_start_step": "--slow_start_step=3",
    "without --optimizer=adam": "--optimizer=adam",
    "with --optimizer=momentum": "--optimizer=adam",
    "without --loss=focal": "--loss=focal",
    "without --region_loss": "--region_loss=dice",
    "with --top_k_percent_pixels=1": "--top_k_percent_pixels=0.5",
    "without --tf_initial_checkpoint": "--tf_initial_checkpoint=old",
    "without --noinitialize_last_layer and --last_layer_gradient_multiplier": "--last_layer_gradient_multiplier=10",
    "without initial weights, --tf_initial_checkpoint or --backbone_weights": "--backbone_weights=imagenet",
    "without --tf_initial_checkpoint, or with --noinitialize_last_layer": "--tf_initial_checkpoint=old",
    "without --eval_interval_steps": "--eval_interval_steps=10",
    "without --min_resize_value": "--min_resize_value=65",
    "without --continuous": "--continuous",
    "without --dataset_dir": "--dataset_dir=shards",
    "without --export": "--export",
    "without --training": "--training",
    "without --training, or with --devices": "--training",
    "without --export or --training, or with --devices": "--training",
    "without --cost or --input": "",  # --cost is among the flags without which benchmark does not start
    "without --export, --training, --scaling, --startup or --programs": "--startup",
    "without --export or --programs": "--programs",
    "without --export, --scaling or --programs, or with --checkpoint_dir": "--programs",
    "without --programs": "--programs",
    "without --programs and --dataset_dir": "--programs --dataset_dir=data",
    "with --cost alone": "--input",
    "without --also_save_raw_predictions": "--also_save_raw_predictions",
    "without an annotation format in --write": "--write=png,coco",
    "above --max_pixels, which all images of a request share": "--max_pixels=200000000",
}
ROWS = [(program, name) for program, table in NEEDS.items() for name in table]


def config_class(program):
    module, name = CONFIG_OF[program]
    return getattr(importlib.import_module(module), name)


def read(program, text):
    """Reads a command line, and refuses options as the start of the program does."""
    config = cli.read(config_class(program), ["program", *shlex.split(text)], flags.FlagValues())
    if program == "train":  # refuses only when a training begins, because a resumed one keeps its options
        effects.refuse_without_effect(config, effects.TRAIN)
    return config


def option_of(program, name):
    return next((field, owner) for field, owner, _ in cli.all_fields(config_class(program)) if field.name == name)


def another_value(program, name):
    """Returns the text of a legal value of a flag that is not its default."""
    field, owner = option_of(program, name)
    kind, is_tuple, _ = field_kind(owner, name)
    special = {
        "learning_rate_values": "0.1,0.2",
        "learning_rate_boundaries": "7",
        "size": "65,65",
        "networks": "mobilenet_v2",
        "precisions": "bfloat16",
        "eval_crop_size": "65,65",
        "dataset_dir": "shards",
        "learning_policy": "cosine",
        "preset": "mobilenetv2_dm05_coco_voc_trainaug",
    }
    if name in special:
        return special[name]
    if field.metadata["choices"]:
        return next(choice for choice in reversed(field.metadata["choices"]) if choice != field.default)
    if kind is bool:
        return str(not field.default).lower()
    if kind is str:
        return "other"
    number = field.default or 0
    return ("7,7" if is_tuple else str(number + 5)) if kind is int else str(number / 2 + 0.25)


@pytest.mark.parametrize(("program", "name"), ROWS)
def test_an_option_without_effect_is_refused(program, name):
    if (program, name) == ("benchmark", "quick"):
        base = "--training"
    elif program == "benchmark" and name in ("json", "compare"):
        base = "--cost"
    else:
        base = f"{BASE[program]} {ALONE.get((program, name), '')}"
    if not name.startswith("learning_rate_"):  # boundaries and values only go together
        read(program, base)  # the rest of the command line is not what is refused
    expected = r"learning_rate_\w+" if name in ("learning_rate_boundaries", "learning_rate_values") else name
    with pytest.raises(UserError, match=rf"{expected}=.*: has no effect \w+ .*leave it out") as refused:
        read(program, f"{base} --{name}={another_value(program, name)}")
    assert "\n" not in str(refused.value)


def test_an_option_of_a_flag_file_can_be_taken_back(tmp_path):
    (tmp_path / "recipe.flags").write_text("--slow_start_step=100\n--slow_start_burnin_type=linear\n")
    shortened = f"{BASE['train']} --flagfile={tmp_path / 'recipe.flags'} --slow_start_step=0"
    with pytest.raises(UserError, match=r"burnin_type='linear'.*leave it out, which means 'none', or change"):
        read("train", shortened)
    read("train", f"{shortened} --slow_start_burnin_type=none")


@pytest.mark.parametrize(("program", "name"), ROWS)
def test_the_same_option_is_taken_where_it_has_an_effect(program, name):
    value = {("eval", "max_number_of_evaluations"): "3", ("vis", "max_number_of_iterations"): "1"}.get(
        (program, name), another_value(program, name)
    )
    if (program, name) == ("vis", "eval_interval_secs"):
        value = "300"  # this one never has an effect: only its default is taken
    if (program, name) == ("train", "slow_start_step"):
        value = "5"
    more = TOGETHER.get(NEEDS[program][name].told, "")
    if name == "learning_rate_boundaries":
        more += " --learning_rate_values=0.1,0.2"
    if name == "learning_rate_values":
        more += " --learning_rate_boundaries=7"
    read(program, f"{BASE[program]} {more} --{name}={value}")


@pytest.mark.parametrize("program", ["eval", "vis", "predict", "export"])
@pytest.mark.parametrize(
    "flag", ["label_weights=1,2", "nofine_tune_batch_norm", "nobatch_norm_warmup", "drop_path_keep_prob=0.5"]
)
def test_options_of_the_training_alone_are_refused_elsewhere(program, flag):
    with pytest.raises(UserError, match="has no effect outside train"):
        read(program, f"{BASE[program]} --{flag}")


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        *itertools.product(("eval", "vis", "predict"), ("--eval_scales=0.5,1", "--add_flipped_images")),
        *itertools.product(("export",), ("--inference_scales=0.5,1", "--add_flipped_images")),
        *itertools.product(("eval", "predict"), ("--tile_size=65,65 --notile_shared_context",)),
    ],
)
def test_classes_are_not_chosen_before_upsampling_where_probabilities_are_averaged(program, flags):
    base = f"{BASE[program]} --noprediction_with_upsampled_logits"
    read(program, base)
    with pytest.raises(UserError, match="prediction_with_upsampled_logits=False: has no effect where several passes"):
        read(program, f"{base} {flags}")


def test_the_flag_that_the_original_never_reads_is_refused():
    for program in ("train", "eval", "vis", "export"):
        read(program, f"{BASE[program]} --keep_aspect_ratio")
        with pytest.raises(UserError, match="keep_aspect_ratio=False: expected True, because the flag has no effect"):
            read(program, f"{BASE[program]} --nokeep_aspect_ratio")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_published_networks_have_no_option_without_effect(name):
    effects.refuse_without_effect(MODELS[name].config, effects.MODEL)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "deeplab" / "config" / "recipes").glob("*.flags")), ids=lambda path: path.stem
)
def test_recipes_have_no_option_without_effect(path):
    config = read("train", f"{BASE['train']} --flagfile={path} --tf_initial_checkpoint=init")
    classes = config.model.get("decoder_filters", 21) if config.model.get("decoder_output_is_logits") else 21
    effects.refuse_without_effect(config.model_config(classes), effects.MODEL, config.model)


# Networks on which every option of ModelConfig is tried, from one that has next to nothing to those that have much.
NETWORKS = {
    "plain": {"output_stride": 16},
    "no ASPP": {"output_stride": 16, "aspp_with_batch_norm": False, "atrous_rates": (1, 2)},
    "everything": {
        "output_stride": 16, "atrous_rates": (1, 2), "decoder_output_stride": (4,), "image_pyramid": (1.0, 0.5),
    },
    "cell": {"output_stride": 16, "dense_prediction_cell_json": "cityscapes"},
    "gate": {
        "output_stride": 16, "aspp_with_squeeze_and_excitation": True, "decoder_output_stride": (4,),
        "decoder_use_sum_merge": True, "decoder_filters": 21, "decoder_output_is_logits": True,
    },
}  # fmt: skip
TRIED = {
    "num_classes": 5, "num_channels": 5, "output_stride": 8,
    "atrous_rates": (2, 3), "depth_multiplier": 0.5, "divisible_by": 16, "image_pyramid": (1.0, 0.75),
    "merge_method": "avg", "add_image_level_feature": False, "image_pooling_crop_size": (33, 33),
    "image_pooling_stride": (2, 2), "aspp_with_batch_norm": False, "aspp_with_separable_conv": False,
    "aspp_with_concat_projection": False, "aspp_with_squeeze_and_excitation": True, "aspp_convs_filters": 64,
    "image_se_uses_qsigmoid": True, "decoder_output_stride": (8,), "decoder_use_separable_conv": False,
    "decoder_filters": 64, "decoder_use_sum_merge": True, "logits_kernel_size": 3, "use_bounded_activation": True,
    "nas_stem_output_num_conv_filters": 12, "nas_remove_os32_stride": True,
}  # fmt: skip


def graph(config):
    """Returns the operations of a network with their attributes and constants, and the shapes of its weights."""
    import tensorflow as tf
    from tensorflow import keras

    from deeplab.model.network import build_model

    keras.backend.clear_session(free_memory=False)  # counts the names of layers from the beginning
    model = build_model(config, (65, 65, config.num_channels))
    images = tf.TensorSpec((1, 65, 65, config.num_channels), tf.float32)
    definition = tf.function(lambda x: model(x, training=False)).get_concrete_function(images).graph.as_graph_def()
    weights = [(variable.path, tuple(variable.shape)) for variable in model.variables]
    return definition.SerializeToString(deterministic=True), weights


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_an_option_of_the_network_changes_it_or_is_refused(network, shortest_mobilenet):
    base = NETWORKS[network]
    before = graph(ModelConfig(**base))
    assert graph(ModelConfig(**base)) == before
    for name, value in TRIED.items():
        if base.get(name) == value:
            continue
        try:
            config = ModelConfig(**{**base, name: value})
        except UserError:
            continue  # refused before
        try:
            effects.refuse_without_effect(config, effects.MODEL, {name: value})
        except UserError:
            assert graph(config) == before, f"{name} is refused although it changes the network"
        else:
            assert graph(config) != before, f"{name} is taken although it changes nothing"


OF_OTHER_BACKBONES = {  # option: (a network in which it has an effect, another value)
    "multi_grid": ({"model_variant": "resnet_v1_18"}, (1, 2)),
    "nas_stem_output_num_conv_filters": ({"model_variant": "nas_pnasnet", "output_stride": 32}, 12),
    "nas_remove_os32_stride": (
        {"model_variant": "nas_pnasnet", "output_stride": 32, "add_image_level_feature": False},
        True,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_OTHER_BACKBONES)
def test_an_option_of_another_backbone_changes_it(name):
    base, value = OF_OTHER_BACKBONES[name]
    changed = ModelConfig(**{**base, name: value})
    effects.refuse_without_effect(changed, effects.MODEL, {name: value})
    assert graph(changed) != graph(ModelConfig(**base))


def test_a_stride_that_no_cell_has_cannot_be_removed():
    with pytest.raises(UserError, match="nas_remove_os32_stride=True: expected False with image pooling"):
        ModelConfig(model_variant="nas_pnasnet", output_stride=32, nas_remove_os32_stride=True)
    for stride in (8, 16):
        config = ModelConfig(model_variant="nas_pnasnet", output_stride=stride, nas_remove_os32_stride=True)
        with pytest.raises(UserError, match="nas_remove_os32_stride=True: has no effect without nas_hnasnet"):
            effects.refuse_without_effect(config, effects.MODEL, {"nas_remove_os32_stride": True})
