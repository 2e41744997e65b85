"""The train_logdir before the first step: whether this training may write there, and the files that describe it."""

import tensorflow as tf

from deeplab.config import effects
from deeplab.config.options import differences
from deeplab.data import catalog
from deeplab.data.channels import facts
from deeplab.errors import UserError
from deeplab.evaluation import batches
from deeplab.inference import trained
from deeplab.programs import initial_weights, shard_record
from deeplab.training import run_folder, schedules
from deeplab.training.best import refuse_other_split
from deeplab.training.tracking import tracked


def claim(config, model_config, dataset):
    """Locks the train_logdir for this process; returns the options of the training that it holds, or None.

    Args:
      config: the TrainConfig.
      model_config: the `ModelConfig` of the network.
      dataset: the `catalog.Dataset` that is trained on.

    Raises:
      UserError: the training that it holds has other options or other classes, or an option has no effect.
    """
    folder, options = config.train_logdir, run_folder.recorded_options(config, model_config)
    tracked.refuse(config.run.tracker)
    run_folder.lock(folder, only_look=config.run.dry_run)
    resumes = run_folder.is_configured(folder) and run_folder.holds_checkpoint(folder)
    if not resumes:
        effects.refuse_without_effect(config, effects.TRAIN)
        catalog.refuse_other(config.dataset, dataset)
        effects.refuse_without_effect(model_config, effects.MODEL, config.model)
    recorded = run_folder.refuse_changed_options(folder, options)
    if resumes:
        _refuse_other_data(config, dataset)
    # A training that is resumed keeps what its configuration says, be it without effect; what is new must have one.
    changed = differences(run_folder.recorded_schedule(folder, recorded, config.schedule), config.schedule)
    effects.refuse_without_effect(config, effects.TRAIN, {name: new for name, (_old, new) in changed.items()})
    if config.run.eval_interval_steps:
        refuse_other_split(tf.io.gfile.join(folder, run_folder.BEST_FOLDER), config.run.eval_split)
    return recorded


def describe(config, model_config, split, recorded, start):
    """Writes config.json and dataset.json, and says what becomes of the learning rate, before the first step.

    config.json also records how large the images of the training are, since photographs that are much larger have to be
    shrunk before the network sees them, and which published weights it began from. A training that takes no step leaves
    the files as they are: they tell how its weights came about.

    Args:
      config, model_config: what is trained now.
      split: the `source.Split` that it is trained on.
      recorded: what `claim` returned.
      start: the step that comes next.
    """
    folder, options = config.train_logdir, run_folder.recorded_options(config, model_config)
    if config.optimizer.optimizer != "adam":  # its rate is constant
        before = run_folder.recorded_schedule(folder, recorded, config.schedule)
        for note in schedules.notes(config.schedule, start, before):
            print(note, flush=True)
    size = batches.trained_size(split, config.augment)
    came = (recorded or {}).get("weights_from") if start else initial_weights.origin(config, model_config)
    run_folder.write_config(folder, model_config, options["training"], size, came, split.dataset)
    catalog.save(split.dataset, folder)
    shard_record.remember(folder, split)


def _refuse_other_data(config, dataset):
    """Raises a UserError if the training that is resumed began with other classes or with other numbers of images.

    Its logits belong to its classes, and the order of the images depends on their number.
    """
    folder = config.train_logdir
    recorded = trained.read_dataset(folder)
    if recorded is None:
        return
    path, difference = tf.io.gfile.join(folder, catalog.FILE), catalog.class_difference(recorded, dataset)
    if difference:
        raise UserError(
            f"{path}: this training has {difference}. Resume with its data set, or train into another --train_logdir "
            "(from these weights: --tf_initial_checkpoint and --map_classes_by_name)"
        )
    if difference := facts.difference(recorded, dataset):
        raise UserError(
            f"{path}: the images of this training have {difference} in {config.dataset_dir}. Resume with its data set, "
            "or train into another --train_logdir (from these weights: --tf_initial_checkpoint)"
        )
    for split in config.train_splits:
        before, now = recorded.splits.get(split), dataset.splits.get(split)
        if None not in (before, now) and before != now:
            raise UserError(
                f"{path}: this training began with {before} images in {split}, {config.dataset_dir} has {now}. Resume "
                "with the same images, or train into another --train_logdir (from these weights: "
                "--tf_initial_checkpoint)"
            )
