"""Restores the weights of a file into a model, by the reference's names. Nothing is assigned unless everything fits."""

import dataclasses
import os
import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras

from deeplab.checkpoints import first_layer, keras_applications, sources
from deeplab.checkpoints.batch_norms import SETTLED, unfolded
from deeplab.checkpoints.published import addresses, cache
from deeplab.checkpoints.report import COUNTER, OF_TRAINING, OPTIMIZER, STEP, RestoreReport
from deeplab.config.published import files
from deeplab.errors import UserError
from deeplab.files import nearest
from deeplab.model.names import LAST_LAYERS, assign, is_bookkeeping, last_layers, path_of, reference_name

AVERAGED = "/ExponentialMovingAverage"
_EXPECTED_EXTRAS = (  # what checkpoints hold besides the variables of a network, and why it is skipped
    (re.compile(r"global_step"), STEP),
    (re.compile(r".+/(Momentum|Adam|Adam_1|RMSProp|RMSProp_1|Adagrad)"), OPTIMIZER),
    (re.compile(r"(.*/)?beta[12]_power|loss_scale/.+"), OPTIMIZER),
    (re.compile(r".+_quant/.+"), "range of values of an 8-bit training"),
    (re.compile(f".+{AVERAGED}"), "moving average of the weights (use_moving_averages=False)"),
    (
        re.compile(r"[^/]+/(.*/)?(logits|Logits|Conv_1|Conv_2|aux[^/]*|AuxLogits|final_layer|predictions)/.+"),
        "classifier of an ImageNet network",
    ),
)
_UNKNOWN = "the model has no such variable"


def restore(
    model: keras.Model,
    path: str | sources.WeightsFile,
    initialize_last_layer: bool = True,
    last_layers_contain_logits_only: bool = False,
    strict: bool = False,
    use_moving_averages: bool = False,
    class_sources: Sequence[int | None] | None = None,
    extra_channels: str | None = None,
) -> RestoreReport:
    """Loads the weights in `path` into `model` and returns a `RestoreReport`.

    If the model has another number of classes, it gets all but its logits. Loaded batch norms skip their warm-up.

    Args:
      model: as `build_model` returns it, or any keras.Model whose layers are named by the rule in `model.names`.
      path: anything that `sources.read` reads, or the `WeightsFile` that it returned.
      initialize_last_layer: False leaves out the head (image pooling, ASPP, dense prediction cell, decoder, logits).
      last_layers_contain_logits_only: with initialize_last_layer=False, leaves out the logits only.
      strict: refuse a file that lacks a variable of the model, has more variables, or another number of classes.
      use_moving_averages: take the `ExponentialMovingAverage` of a variable if the file has one.
      class_sources: for each class of the model, the class of the file whose logits it gets, or None to keep its own.
      extra_channels: "mean" or "zero", see `first_layer`: for a model of other channels; None refuses such a file.

    Raises:
      UserError: the file is unreadable, holds another network or (strict) doesn't fit exactly; the model is unchanged.
    """
    file = path if isinstance(path, sources.WeightsFile) else sources.read(path)
    variables = {reference_name(variable): variable for variable in model.variables}
    values = _network_values(file, model, use_moving_averages)
    values |= _with_classes(values, variables, class_sources)
    values |= first_layer.with_channels(values, model, extra_channels)
    excluded = () if initialize_last_layer else last_layers(last_layers_contain_logits_only)
    fitting, skipped = _matched(file, values, variables, excluded, strict)
    missing = [name for name in variables if not (name in fitting or name in skipped or is_bookkeeping(name))]
    if strict:
        _refuse_differences(file, missing, skipped)
    _assign(fitting, variables)
    loaded, left = (tuple(path_of(variables[name]) for name in names) for names in (fitting, missing))
    return RestoreReport(file.path, file.kind, file.step, loaded, left, skipped)


def _matched(file, values, variables, excluded, strict):
    """Returns ({name: value} that the model gets, {name: why the model does not get it}); checks both."""
    skipped = {name: _why_unused(name) for name in file.values if name in values and name not in variables}
    weights = [name for name in values if skipped.get(name) not in OF_TRAINING]
    skipped |= {name: "last layer (initialize_last_layer=False)" for name in weights if name.startswith(excluded)}
    fitting = {name: values[name] for name in variables if name in values and name not in skipped}
    _refuse_other_network(file, fitting, variables)
    other_classes = _other_classes(file, fitting, variables, strict)
    fitting = {name: value for name, value in fitting.items() if name not in other_classes}
    _check_shapes(file, fitting, variables)
    return fitting, skipped | other_classes


def restore_backbone(model, config, weights, use_moving_averages=False, extra_channels=None):
    """Loads the weights of the backbone only; of "imagenet_coco" also what fits of the head, but for the logits.

    Args:
      model: as `build_model(config)` returns it.
      config: its `ModelConfig`.
      weights: "imagenet" or "imagenet_coco" for published weights (downloaded once), or anything that `restore` takes.
      use_moving_averages, extra_channels: as for `restore`.

    Returns:
      A `RestoreReport`.

    Raises:
      UserError: as `restore`; no such weights were published for this backbone, or they cannot be fetched.
    """
    path = backbone_file(config, weights)
    if weights != files.IMAGENET_COCO:
        how = {"use_moving_averages": use_moving_averages, "extra_channels": extra_channels}
        return restore(model, path, initialize_last_layer=False, **how)
    file, others = _without_other_shapes(sources.read(path), model)
    how = {"last_layers_contain_logits_only": True, "extra_channels": extra_channels}
    report = restore(model, file, initialize_last_layer=False, **how)
    return dataclasses.replace(report, skipped=report.skipped | others)


def backbone_file(config, weights):
    """Returns the path of the weights that `restore_backbone` loads; fetches what has to be. Raises as it does."""
    if weights not in files.WORDS:
        hint = nearest.hint(os.fspath(weights), files.WORDS)
        if hint and not tf.io.gfile.exists(weights):
            raise UserError(f"backbone_weights={weights!r}: no such file{hint}")
        return cache.local(weights)
    published = files.of_backbone(config.model_variant, weights)
    if published is files.KERAS:
        return keras_applications.imagenet_file(config)
    return cache.fetched(addresses.of_published(published))


def _without_other_shapes(file, model):
    """Returns a `WeightsFile` without the arrays of the head whose shapes are not the model's, and {name: reason}."""
    shapes = {reference_name(variable): tuple(variable.shape) for variable in model.variables}
    others = {
        name: "another shape in the model"
        for name, value in file.values.items()
        if name.startswith(LAST_LAYERS[1:]) and shapes.get(name, np.shape(value)) != np.shape(value)
    }
    values = {name: value for name, value in file.values.items() if name not in others}
    return dataclasses.replace(file, values=values), others


def _network_values(file, model, use_moving_averages):
    """Returns {name: value} of the file, with batch norms unfolded and, on request, moving averages as weights."""
    values = file.values
    if file.folded:
        values = values | unfolded(file.folded, model)
    if use_moving_averages:
        averaged = {name.removesuffix(AVERAGED): v for name, v in values.items() if name.endswith(AVERAGED)}
        values = {name: value for name, value in values.items() if not name.endswith(AVERAGED)} | averaged
    return dict(values)


def _with_classes(values, variables, class_sources):
    """Returns {name: value} of the logits with the model's classes; {} if `class_sources`, as in `restore`, is None."""
    if class_sources is None:
        return {}
    own = [label for label, source in enumerate(class_sources) if source is not None]
    given = [source for source in class_sources if source is not None]
    moved = {}
    for name in variables:
        if name.startswith("logits/") and name in values:
            initial, shape = np.array(variables[name].numpy()), np.shape(values[name])
            if shape[:-1] == initial.shape[:-1] and max(given, default=0) < shape[-1]:  # else `_check_shapes` refuses
                initial[..., own] = np.asarray(values[name])[..., given]
                moved[name] = initial
    return moved


def _why_unused(name):
    """Returns the reason for skipping a variable that the model doesn't have."""
    for pattern, reason in _EXPECTED_EXTRAS:
        if pattern.fullmatch(name):
            return reason
    return COUNTER if is_bookkeeping(name) else _UNKNOWN


def _refuse_differences(file, missing, skipped):
    """Refuses a file that doesn't hold exactly the variables of the model."""
    unknown = [name for name, reason in skipped.items() if reason == _UNKNOWN]
    if not missing and not unknown:
        return
    lacks = [f"lacks {len(missing)} variables of the model, e.g. {missing[0]}"] if missing else []
    more = [f"has {len(unknown)} that the model lacks, e.g. {unknown[0]}"] if unknown else []
    raise UserError(
        f"{file.path}: the file {' and '.join(lacks + more)}; compare the options of the network, e.g. "
        "decoder_output_stride, atrous_rates, model_variant"
    )


def _scopes(names):
    """Returns the outermost scopes of variables, e.g. `xception_65` and `aspp0`."""
    return sorted({name.split("/")[0] for name in names if "/" in name and not is_bookkeeping(name)})


def _refuse_other_network(file, fitting, variables):
    """Refuses a file if nothing in it fits, or if it holds another backbone and nothing but its head fits."""
    used, own = _scopes(fitting), _scopes(variables)
    given = _scopes(name for name in file.values if name in variables or _why_unused(name) == _UNKNOWN)
    backbone = [scope for scope in own if not scope.startswith(LAST_LAYERS)]
    other = [scope for scope in given if not scope.startswith(LAST_LAYERS) and scope not in own]
    if used and not (backbone and other and not set(backbone) & set(used)):
        return
    raise UserError(
        f"{file.path}: these are the weights of another network; the file has {', '.join(given) or 'no scopes'}, the "
        f"model {', '.join(own)}; set model_variant to the network of the file"
    )


def _other_classes(file, fitting, variables, strict):
    """Returns {name: reason} of the logits if the file was trained with another number of classes, else {}."""
    logits = [name for name in fitting if name.startswith("logits/")]
    if not any(name.startswith("logits/") for name in variables):  # decoder_output_is_logits
        logits = [name for name in fitting if name.startswith("decoder/")]
    given = {np.shape(fitting[name])[-1] for name in logits}
    wanted = {variables[name].shape[-1] for name in logits}
    if given == wanted or len(given) != 1 or len(wanted) != 1:
        return {}
    classes = given.pop(), wanted.pop()
    for name in logits:
        pairs = zip(np.shape(fitting[name]), variables[name].shape, strict=False)
        if not all(a == b or (a, b) == classes for a, b in pairs):
            return {}
    reason = f"{classes[0]} classes in the file, {classes[1]} in the model"
    if strict:
        raise UserError(f"{file.path}: {reason}; set num_classes={classes[0]}")
    return dict.fromkeys(logits, reason)


def _check_shapes(file, fitting, variables):
    for name, value in fitting.items():
        given, wanted = np.shape(value), tuple(variables[name].shape)
        if given != wanted:
            raise UserError(
                f"{file.path}: {name} has shape {given} in the file and {wanted} in the model; "
                f"{_cause(name, given, wanted)}"
            )


def _cause(name, given, wanted):
    """Returns which options to compare if the variable `name` has another shape."""
    if (
        len(given) == len(wanted) == 4
        and (*given[:2], given[3]) == (*wanted[:2], wanted[3])
        and 3 in (given[2], wanted[2])
    ):
        return f"compare num_channels: {given[2]} in the file, {wanted[2]} in the model"
    if name.startswith("logits/"):
        return "compare num_classes, logits_kernel_size and the options of the ASPP and decoder"
    if name.startswith("decoder/"):
        return "compare decoder_filters, decoder_output_stride, aspp_convs_filters and model_variant"
    if name.startswith(LAST_LAYERS):
        return "compare model_variant, depth_multiplier, atrous_rates, aspp_convs_filters and add_image_level_feature"
    if name.startswith("Mobilenet"):
        return "compare model_variant, depth_multiplier and divisible_by"
    return "compare model_variant and nas_stem_output_num_conv_filters"


def _assign(fitting, variables):
    """Sets variables; ends the warm-up of batch norms whose statistics come without the number of their updates."""
    for name, value in fitting.items():
        assign(variables[name], np.asarray(value))
        scope, _, leaf = name.rpartition("/")
        counter = f"{scope}/updates"
        if leaf == "moving_mean" and counter in variables and counter not in fitting:
            variables[counter].assign(SETTLED)
