"""The weights that a new training starts from, and the classes that they belong to."""

import functools

from deeplab.checkpoints import first_layer, keras_applications, restoring, sources
from deeplab.checkpoints.batch_norms import restart_averages
from deeplab.checkpoints.published import cache
from deeplab.config.options import changed_options
from deeplab.config.published import files
from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.inference import trained
from deeplab.training import run_folder
from deeplab.training.run_folder import ORIGIN

_ONLY_WITH_WEIGHTS = {  # options that have no effect without initial weights: their defaults
    "extra_channels": "mean",
    "initialize_last_layer": True,
    "last_layers_contain_logits_only": False,
    "map_classes_by_name": False,
    "recalibrate_batch_norm": False,
    "restart_batch_norm_averages": False,
    "use_moving_averages": True,
}


def load(config, model_config, network, dataset):
    """Loads the weights that a `TrainConfig` names into a network, and prints what was loaded.

    Args:
      config: the TrainConfig.
      model_config: the `ModelConfig` of the network.
      network: as `build_model` returns it.
      dataset: the `catalog.Dataset` that is trained on.

    Raises:
      UserError: the weights do not fit, or their logits belong to other classes of the same number.
    """
    if config.tf_initial_checkpoint:
        path = _fetched(config, "tf_initial_checkpoint", cache.local)
        classes = _class_sources(config, model_config, dataset, path)
        file = sources.read(path)
        report = restoring.restore(
            network,
            file,
            config.initialize_last_layer,
            config.last_layers_contain_logits_only,
            use_moving_averages=_takes_averages(config, path),
            class_sources=classes,
            extra_channels=config.extra_channels,
        )
        print(report, flush=True)
        _tell_channels(config, file.values, network)
        if _takes_averages(config, path) and any(name.endswith(restoring.AVERAGED) for name in file.values):
            print("These are the moving averages of the weights; --nouse_moving_averages takes the weights themselves")
    if config.backbone_weights:
        of_backbone = functools.partial(restoring.backbone_file, model_config)
        averages = _takes_averages(config, _fetched(config, "backbone_weights", of_backbone))
        if _published(config, model_config) == files.KERAS:
            print(files.KERAS.told)
        how = (averages, config.extra_channels)
        print(restoring.restore_backbone(network, model_config, config.backbone_weights, *how), flush=True)
        if network.config.num_channels != 3 or "extra_channels" in changed_options(config):
            _tell_channels(config, sources.read(_fetched(config, "backbone_weights", of_backbone)).values, network)
    if config.restart_batch_norm_averages:
        print(f"The averages of {restart_averages(network)} batch norms begin anew", flush=True)


def _tell_channels(config, values, network):
    """Says how the first convolution begins if the weights are of a network for another number of channels.

    Raises:
      UserError: --extra_channels was given, and has no effect.
    """
    given, wanted = first_layer.channels(values, network), network.config.num_channels
    if given not in (None, wanted):
        print(f"{given} channels become {wanted} by --extra_channels={config.extra_channels}", flush=True)
    elif "extra_channels" in changed_options(config):
        raise UserError(
            f"extra_channels={config.extra_channels!r}: has no effect, because the weights are of a network for "
            f"{wanted} channels, as the images have; leave it out"
        )


def origin(config, model_config):
    """Returns which published weights a training starts from: see `published.cache.origin`; None for others.

    Args:
      config: the TrainConfig, whose weights `load` has loaded.
      model_config: the `ModelConfig` of the network.
    """
    published = _published(config, model_config)
    if published == files.KERAS:
        address = keras_applications.address(model_config)
        return {**dict.fromkeys(ORIGIN), "name": published.name, "address": address, **published.terms}
    path = files.SCHEME + published.name if published else config.tf_initial_checkpoint or config.backbone_weights
    return trained.weights_from(path) if path else None


def _published(config, model_config):
    """Returns the `PublishedFile` of a word in --backbone_weights; None for other weights and without any."""
    is_word = config.backbone_weights in files.WORDS
    return files.of_backbone(model_config.model_variant, config.backbone_weights) if is_word else None


def _fetched(config, option, fetch):
    """Returns `fetch` of the weights that an option names; if they cannot be had, the error says how to do without."""
    try:
        return fetch(getattr(config, option))
    except UserError as error:
        given = changed_options(config)
        others = [f"--{'' if default else 'no'}{name}" for name, default in _ONLY_WITH_WEIGHTS.items() if name in given]
        raise UserError(f"{error}. To train from scratch: {' '.join([f'--{option}=', *others])}") from None


def _takes_averages(config, path):
    """Tells whether moving averages are taken, by the rule of `trained.load`: not for the reference's files."""
    return config.use_moving_averages and run_folder.is_configured(run_folder.of(path))


def _class_sources(config, model_config, dataset, path):
    """Returns the `class_sources` of `restore`, or None where the logits are not loaded or classes keep their numbers.

    A class has the same name in both data sets, or its logits mean something else.
    """
    wanted, preset = config.map_classes_by_name, files.preset_of(config.tf_initial_checkpoint)
    given = trained.dataset_of_preset(preset) or trained.dataset_of(path)
    path = config.tf_initial_checkpoint
    if wanted and (given is None or not given.class_names or not dataset.class_names):
        nameless = f"{dataset.name} in {config.dataset_dir or config.dataset}" if given and given.class_names else path
        raise UserError(f"map_classes_by_name=True: the classes of {nameless} have no names; leave the flag out")
    if wanted and model_config.decoder_output_is_logits:
        raise UserError("map_classes_by_name=True: expected False with --decoder_output_is_logits")
    if given is None or not config.initialize_last_layer:
        return None
    difference = catalog.class_difference(given, dataset)
    found = catalog.same_classes(dataset, given)
    number = sum(label is not None for label in found)
    if wanted:
        print(f"{number} of {dataset.num_classes} classes start from the logits of the same name in {path}")
        return found
    if difference and given.num_classes == dataset.num_classes:
        raise UserError(
            f"tf_initial_checkpoint={path}: its network has {difference}. With --map_classes_by_name, {number} classes "
            "start from the logits of the same name; with --noinitialize_last_layer "
            "--last_layers_contain_logits_only, all logits begin anew"
        )
    if difference and number:
        print(
            f"--map_classes_by_name would start {number} of {dataset.num_classes} classes from their logits in {path}"
        )
    return None
