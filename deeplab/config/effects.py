"""Options that have an effect only together with another option, and the refusal of such an option on its own.

A person who gives `--focal_gamma=5` believes that it changes the training. Without `--loss=focal` it changes nothing,
so the program says that instead of going on. Each table has one row per option: the condition under which the option
has an effect, as a function of the whole configuration, and the words that tell the user what is missing.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from deeplab.config.data import is_tfds
from deeplab.config.options import changed_options, require
from deeplab.errors import UserError


class Needs(NamedTuple):
    """When an option has an effect."""

    holds: Callable[[Any], bool]  # of the whole configuration
    told: str  # follows "has no effect"


def refuse_without_effect(config, needs: Mapping[str, Needs], given: Mapping[str, Any] | None = None):
    """Raises a UserError if an option was given that has no effect in `config`.

    Args:
      config: the configuration that the conditions are asked about.
      needs: {option: `Needs`}; options without a row always have an effect.
      given: {option: value} of the options that were given, or None for the options of `config` that differ from their
        defaults.
    """
    changed = changed_options(config) if given is None else {name: (value, None) for name, value in given.items()}
    for name, (value, default) in changed.items():
        if name in needs and not needs[name].holds(config):
            # An option of a flag file cannot be left out, but the command line can take it back.
            back = "" if default is None else f", which means {default!r}"
            raise UserError(f"{name}={value!r}: has no effect {needs[name].told}; leave it out{back}, or change that")


def refuse_what_exports_bring(config, **more):
    """Refuses the flags that say how a network is run, because an export has that built in.

    Args:
      config: an EvalConfig or PredictConfig.
      more: further flags of the program to refuse, with their values.
    """
    scales = config.passes.eval_scales
    fixed = {
        "eval_scales": scales != (1.0,) and scales,
        "add_flipped_images": config.passes.add_flipped_images,
        "tile_size": config.tiles.tile_size,
        "zero_untrained_taps": config.zero_untrained_taps,
        **more,
        **config.model,
    }
    for name, value in fixed.items():
        require(
            not value, name, value, "no such flag beside --saved_model: an export brings its own; or --checkpoint_dir"
        )


def _table(told, holds, *names):
    """Returns rows of the options `names` that share a condition."""
    return dict.fromkeys(names, Needs(holds, told))


_TFDS = {
    **_table(
        "without --dataset=tfds:NAME", lambda c: is_tfds(c.dataset),
        "label_offset", "ignore_label", "tfds_num_classes", "tfds_data_dir", "tfds_image", "tfds_label",
    ),
    **_table("with --dataset=tfds:NAME", lambda c: not is_tfds(c.dataset), "dataset_dir"),
}  # fmt: skip
_TILES = _table("without --tile_size", lambda c: c.tiles.tile_size is not None, "tile_overlap", "tile_shared_context")
_SCHEDULE = {
    **_table(
        "with --optimizer=adam, whose rate is --adam_learning_rate", lambda c: c.optimizer.optimizer != "adam",
        "base_learning_rate", "learning_policy", "slow_start_step",
    ),
    **_table(
        "without --learning_policy=poly", lambda c: c.schedule.learning_policy == "poly",
        "decay_steps", "end_learning_rate", "learning_power",
    ),
    **_table(
        "without --learning_policy=step", lambda c: c.schedule.learning_policy == "step",
        "learning_rate_decay_factor", "learning_rate_decay_step",
    ),
    **_table(
        "without --learning_policy=piecewise", lambda c: c.schedule.learning_policy == "piecewise",
        "learning_rate_boundaries", "learning_rate_values",
    ),
    **_table(
        "without --slow_start_step", lambda c: c.schedule.slow_start_step > 0,
        "slow_start_learning_rate", "slow_start_burnin_type",
    ),
}  # fmt: skip
_OPTIMIZER = {
    **_table("without --optimizer=momentum", lambda c: c.optimizer.optimizer == "momentum", "momentum", "nesterov"),
    **_table("without --optimizer=adam", lambda c: c.optimizer.optimizer == "adam", "adam_learning_rate"),
    **_table("with --optimizer=momentum", lambda c: c.optimizer.optimizer != "momentum", "adam_epsilon"),
}
_LOSS = {
    **_table("without --loss=focal", lambda c: c.loss.loss == "focal", "focal_gamma"),
    **_table("without --region_loss", lambda c: c.loss.region_loss != "none", "region_loss_weight"),
    **_table(
        "with --top_k_percent_pixels=1", lambda c: c.loss.top_k_percent_pixels < 1, "hard_example_mining_step"
    ),
}  # fmt: skip
_BEGINNING = {
    **_table("without --tf_initial_checkpoint", lambda c: c.tf_initial_checkpoint is not None, "initialize_last_layer"),
    **_table(
        "without --noinitialize_last_layer and --last_layer_gradient_multiplier",
        lambda c: not c.initialize_last_layer or c.optimizer.last_layer_gradient_multiplier != 1,
        "last_layers_contain_logits_only",
    ),
    **_table(
        "without initial weights, --tf_initial_checkpoint or --backbone_weights",
        lambda c: c.tf_initial_checkpoint is not None or c.backbone_weights is not None,
        "recalibrate_batch_norm",
        "use_moving_averages",
        "extra_channels",
    ),
    **_table(
        "without --tf_initial_checkpoint, or with --noinitialize_last_layer",
        lambda c: c.tf_initial_checkpoint is not None and c.initialize_last_layer,
        "map_classes_by_name",
    ),
}
_RUN = {
    **_table(
        "without --eval_interval_steps", lambda c: c.run.eval_interval_steps > 0,
        "eval_split", "eval_crop_size",
    ),
    **_table("with --nosave_summaries_images", lambda c: c.run.save_summaries_images, "save_summaries_secs"),
    **_table("with this --distribution_strategy", lambda c: c.run.distribution_strategy in ("auto", "tpu"), "tpu"),
    **_table("with fewer --training_number_of_steps",
             lambda c: c.run.eval_interval_steps <= c.schedule.training_number_of_steps, "eval_interval_steps"),
    **_table("without a second stretch of --log_steps, which is what is profiled",
             lambda c: _first_stretch(c.run) < c.schedule.training_number_of_steps, "profile_logdir"),
}  # fmt: skip
_RESIZE = _table("without --min_resize_value", lambda c: _resize(c).min_resize_value is not None, "resize_factor")


def _first_stretch(run):
    """Returns the number of steps after which a training stops for the first time, to log, save or evaluate."""
    return min(filter(None, (run.log_steps, run.save_interval_steps, run.eval_interval_steps)))


def _resize(config):
    """Returns the `ResizeConfig` of a program."""
    return config.augment if hasattr(config, "augment") else config.resize


TRAIN = {
    **_TFDS, **_SCHEDULE, **_OPTIMIZER, **_LOSS, **_BEGINNING, **_RUN, **_RESIZE,
    **_table(
        "with --min_scale_factor equal to --max_scale_factor",
        lambda c: c.augment.min_scale_factor < c.augment.max_scale_factor,
        "scale_factor_step_size",
    ),
}  # fmt: skip
EVAL = {
    **_TFDS, **_TILES, **_RESIZE,
    **_table("without --continuous", lambda c: c.continuous, "eval_interval_secs", "eval_timeout_secs"),
    # The original's commands ask for one evaluation, which is what happens without --continuous.
    **_table("without --continuous", lambda c: c.continuous or c.max_number_of_evaluations == 1,
             "max_number_of_evaluations"),
    **_table("with --saved_model or --tile_size, which run on one device",
             lambda c: not c.saved_model and c.tiles.tile_size is None, "distribution_strategy"),
    **_table("with --tile_size, which segments one image at a time", lambda c: c.tiles.tile_size is None,
             "eval_batch_size"),
    **_table("with --saved_model", lambda c: not c.saved_model, "checkpoint", "use_moving_averages", "preset"),
    **_table("with --tile_size", lambda c: c.tiles.tile_size is None, "eval_crop_size"),
}  # fmt: skip
# Asked before the first checkpoint is scored: afterwards, the configuration holds the name of the checkpoint that came.
EVAL_CONTINUOUS = _table("with --continuous, which scores every new checkpoint", lambda c: False, "checkpoint")
_ONCE = "since pictures are drawn once"
VIS = {
    **_TFDS, **_RESIZE,
    # The original's commands ask for one iteration, which is what happens.
    **_table(_ONCE, lambda c: c.max_number_of_iterations == 1, "max_number_of_iterations"),
    **_table(_ONCE, lambda c: False, "eval_interval_secs"),
    **_table("without --also_save_raw_predictions", lambda c: c.also_save_raw_predictions, "class_ids"),
}  # fmt: skip
PREDICT = {
    **_TILES,
    **_table("with --saved_model", lambda c: not c.saved_model, "checkpoint", "use_moving_averages"),
    **_table("with --tile_size or --save_probabilities, which segment one image at a time",
             lambda c: c.tiles.tile_size is None and not c.save_probabilities, "batch_size"),
    **_table("without an annotation format in --write", lambda c: c.written.annotations, "polygon_tolerance"),
}  # fmt: skip
EXPORT = {
    **_RESIZE,
    **_table("without --dataset_dir", lambda c: c.dataset_dir is not None, "split"),
    **_table("with --noverify, unless --quantize=int8 reads it", lambda c: c.verify or c.quantize == "int8",
             "dataset_dir"),
    **_table("without --format=saved_model", lambda c: c.format == "saved_model",
             "constant_weights"),
}  # fmt: skip
SERVE = {
    **_table("with --max_batch_size=1", lambda c: c.max_batch_size > 1, "batch_timeout_ms"),
    **_table("above --max_pixels, which all images of a request share", lambda c: c.max_image_pixels <= c.max_pixels,
             "max_image_pixels"),
}  # fmt: skip
BENCHMARK = {
    **_table("without --export or --programs", lambda c: c.export or c.programs, "checkpoint_dir"),
    **_table("without --export", lambda c: c.export, "size"),
    **_table("without --export, --scaling or --programs, or with --checkpoint_dir",
             lambda c: c.scaling or ((c.export or c.programs) and c.checkpoint_dir is None), "networks"),
    **_table("without --programs", lambda c: c.programs, "dataset_dir", "images"),
    **_table("without --programs and --dataset_dir", lambda c: c.programs and c.dataset_dir is not None, "eval_split"),
    **_table("without --training", lambda c: c.training, "precisions", "devices"),
    **_table("without --training, or with --devices", lambda c: c.training and not c.devices, "jit_compile"),
    **_table("without --export or --training, or with --devices",
             lambda c: c.export or (c.training and not c.devices), "profile_logdir"),
    **_table("without --cost or --input", lambda c: c.cost or c.input, "quick"),
    **_table("without --export, --training, --scaling, --startup or --programs",
             lambda c: c.export or c.training or c.scaling or c.startup or c.programs, "runs"),
    **_table("with --cost alone",
             lambda c: c.export or c.training or c.scaling or c.startup or c.input or c.programs, "json", "compare"),
}  # fmt: skip

# Options of ModelConfig that do not change the network, but how eval, vis, predict and export use its logits.
PASSES = _table(
    "where several passes or separate tiles are averaged", lambda c: _is_single_pass(c),
    "prediction_with_upsampled_logits",
)  # fmt: skip


def _is_single_pass(config):
    """Tells whether labels come from the logits of one pass. Otherwise they come from mean probabilities."""
    if hasattr(config, "inference_scales"):
        return config.inference_scales == (1.0,) and not config.add_flipped_images
    tiles = getattr(config, "tiles", None)
    separate = tiles is not None and tiles.tile_size is not None and not tiles.tile_shared_context
    return config.passes.eval_scales == (1.0,) and not config.passes.add_flipped_images and not separate


_ASPP = ("without an ASPP", lambda m: m.aspp_with_batch_norm and not m.dense_prediction_cell_json)
_POOLING = (
    "without image pooling",
    lambda m: m.add_image_level_feature and m.aspp_with_batch_norm and not m.dense_prediction_cell_json,
)
_DECODER = ("without --decoder_output_stride", lambda m: m.decoder_output_stride is not None)
_NAS = ("without a NAS variant", lambda m: m.model_variant.startswith("nas"))
MODEL = {
    **_table("with one scale in --image_pyramid", lambda m: len(m.image_pyramid or ()) > 1, "merge_method"),
    **_table("with --dense_prediction_cell_json", lambda m: not m.dense_prediction_cell_json, "atrous_rates"),
    **_table(*_ASPP, "add_image_level_feature", "aspp_with_concat_projection", "aspp_with_squeeze_and_excitation",
             "aspp_convs_filters"),
    **_table("without atrous rates and an ASPP", lambda m: _ASPP[1](m) and bool(m.rates), "aspp_with_separable_conv"),
    **_table("without --image_pooling_crop_size, because a single window covers the image",
             lambda m: _POOLING[1](m) and m.image_pooling_crop_size is not None, "image_pooling_stride"),
    **_table("without image pooling",
             lambda m: _POOLING[1](m) or m.dense_prediction_cell_json not in (None, "cityscapes"),
             "image_pooling_crop_size"),
    **_table("without --aspp_with_squeeze_and_excitation",
             lambda m: _POOLING[1](m) and m.aspp_with_squeeze_and_excitation, "image_se_uses_qsigmoid"),
    **_table(*_DECODER, "decoder_filters", "decoder_use_sum_merge"),
    **_table("without --decoder_output_stride, or with --decoder_output_is_logits",
             lambda m: _DECODER[1](m) and not m.decoder_output_is_logits, "decoder_use_separable_conv"),
    **_table("without Xception, an ASPP or a decoder",
             lambda m: m.model_variant.startswith("xception") or _ASPP[1](m) or _DECODER[1](m),
             "use_bounded_activation"),
    **_table(*_NAS, "nas_stem_output_num_conv_filters"),
    # Only there do cells lie at stride 32, see `levels` in `deeplab/model/backbones/nas.py`.
    **_table("without nas_hnasnet, or nas_pnasnet at output stride 32",
             lambda m: m.model_variant == "nas_hnasnet" or (_NAS[1](m) and m.output_stride == 32),
             "nas_remove_os32_stride"),
    **_table("with --nofine_tune_batch_norm", lambda m: m.fine_tune_batch_norm, "batch_norm_warmup"),
}  # fmt: skip
# Options of ModelConfig that change the training and not the network that it leaves.
TRAINING_ONLY = _table(
    "outside train", lambda c: False,
    "drop_path_keep_prob", "label_weights", "fine_tune_batch_norm", "batch_norm_warmup",
)  # fmt: skip
