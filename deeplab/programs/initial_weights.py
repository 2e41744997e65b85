"""The weights that a new training starts from, and the classes that they belong to."""

from deeplab.checkpoints import restoring, sources
from deeplab.checkpoints.batch_norms import restart_averages
from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.inference import trained
from deeplab.training import run_folder


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
        path = config.tf_initial_checkpoint
        classes = _class_sources(config, model_config, dataset)
        file = sources.read(path)
        report = restoring.restore(
            network,
            file,
            config.initialize_last_layer,
            config.last_layers_contain_logits_only,
            use_moving_averages=_takes_averages(config, path),
            class_sources=classes,
        )
        print(report, flush=True)
        if _takes_averages(config, path) and any(name.endswith(restoring.AVERAGED) for name in file.values):
            print("These are the moving averages of the weights; --nouse_moving_averages takes the weights themselves")
    if config.backbone_weights:
        averages = _takes_averages(config, config.backbone_weights)
        print(restoring.restore_backbone(network, model_config, config.backbone_weights, averages), flush=True)
    if config.restart_batch_norm_averages:
        print(f"The averages of {restart_averages(network)} batch norms begin anew", flush=True)


def _takes_averages(config, path):
    """Tells whether moving averages are taken, by the rule of `trained.load`: not for the reference's files."""
    return config.use_moving_averages and run_folder.is_configured(run_folder.of(path))


def _class_sources(config, model_config, dataset):
    """Returns the `class_sources` of `restore`, or None where the logits are not loaded or classes keep their numbers.

    A class has the same name in both data sets, or its logits mean something else.
    """
    path, wanted = config.tf_initial_checkpoint, config.map_classes_by_name
    given = trained.dataset_of(path)
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
