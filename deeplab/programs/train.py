"""Trains a network: the story of `python -m deeplab.train`, told once."""

import dataclasses

import tensorflow as tf

from deeplab import devices, memory
from deeplab.checkpoints.batch_norms import recalibrate_batch_norm
from deeplab.config.data import ResizeConfig
from deeplab.data import catalog, pipeline, records, shard_state, source
from deeplab.evaluation import scoring
from deeplab.evaluation.split_predictor import make_split_predictor
from deeplab.files import escaping
from deeplab.inference.predictor import Predictor
from deeplab.model import untrained_taps, views
from deeplab.model.backbones import BACKBONES
from deeplab.model.network import build_model
from deeplab.programs import advice, initial_weights, shard_record, train_logdir
from deeplab.programs.dry_runs import training as dry_run
from deeplab.training import compilation, feeding, losses, precision, run_folder
from deeplab.training.best import BestCheckpoint
from deeplab.training.loop import StepRunner, TrainingLoop
from deeplab.training.progress import Progress
from deeplab.training.state import Checkpoints
from deeplab.training.step import TrainingStep
from deeplab.training.tracking import tracked

RECALIBRATION_BATCHES = 25


@devices.as_configured
def train(config):
    """Trains as `config`, a TrainConfig, says; returns the exit code: None, or 75 after a SIGTERM."""
    # Where: devices, precision, seed, and a folder that remembers this exact configuration.
    strategy, config = take_devices(config)
    split = source.open_splits(config.dataset_dir, config.train_splits, config.dataset, config.input)
    pipeline.refuse_unlabelled(split)
    model_config = config.model_config(split.dataset.num_classes, split.dataset.num_channels)
    chief = devices.is_chief(strategy)
    writes = chief and not config.run.dry_run
    recorded = train_logdir.claim(config, model_config, split.dataset) if chief else None
    same_shards = watch(config, split)

    # From what: shards become batches of (image, label); the stream can be entered at any step.
    stream = batch_stream(config, split, model_config)

    # What: network, loss, optimizer; whatever owns variables is born in the strategy's scope.
    with strategy.scope():
        network, step = build(config, model_config, split.dataset)
        if chief:
            advice.tell(config, network)
        checkpoints = Checkpoints(config.train_logdir, step, config.run.keep_checkpoints, writes)
        start = restore(config, model_config, network, checkpoints, split.dataset)
    if config.recalibrate_batch_norm and not start:
        recalibrate(network, step, stream)

    # Go: n steps at a time, from the step already reached; log, save, evaluate between.
    distributed = feeding.distribute(strategy, stream, start, config.train_batch_size)
    runner = StepRunner(strategy, step, distributed, config.run.jit_compile is True)
    progress = Progress(config, start, writes, sampler(network, stream), catalog.label_colormap(split.dataset))
    best = best_checkpoint(config, network, step, progress) if config.run.eval_interval_steps else None
    loop = TrainingLoop(runner, checkpoints, progress, lambda at: file_names(stream, at), best, same_shards)
    with records.user_errors(split), advice.about_memory(config, network, strategy.num_replicas_in_sync, start > 0):
        if config.run.dry_run:
            return dry_run.tell(config, loop)
        if loop.why_over(start) is None:
            loop.runner, config = compilation.choose(runner, config, start, recorded, progress.say)
            if writes:
                train_logdir.describe(config, model_config, split, recorded, start)
        return tracked.train(loop, config, model_config, start, (catalog.FILE,))


def take_devices(config):
    """Returns the strategy of a TrainConfig, and the TrainConfig with its precision; seed and precision hold now."""
    strategy = devices.training_strategy(config.run)
    compilation.refuse(config.run.jit_compile, strategy)
    devices.set_seed(config.run.random_seed, config.run.deterministic)
    config = precision.choose(config, strategy)
    devices.set_precision(config.run.mixed_precision)
    return strategy, config


def batch_stream(config, split, model_config):
    """Returns the function (first step, host, hosts) -> dataset of (images, labels, file names).

    The batch of a step depends on the seed and the number of the step alone. A training that is resumed enters the
    stream at the step that it had reached, and goes on exactly as if nothing had happened.
    """
    pad_pixel = BACKBONES[model_config.model_variant].pad_pixel(split.dataset.num_channels)
    shape = (config.train_crop_size, config.train_batch_size, pad_pixel)

    def stream(first, host=0, hosts=1):
        share = pipeline.Batches(*shape, config.run.random_seed, host, hosts)
        options = config.input
        return pipeline.train_batches(split, config.augment, share, first, options.cache, options.data_service)

    return stream


def build(config, model_config, dataset):
    """Returns the network, whose input is a training crop, and its `TrainingStep`."""
    network = build_model(model_config, (*config.train_crop_size, model_config.num_channels))
    untrained_taps.set_to_zero(network, untrained_taps.find(network))  # they would stay random for ever
    source_of_weights, label_weights = config.loss.class_weights, model_config.label_weights
    weights = losses.class_weights(source_of_weights, dataset, config.train_splits, label_weights)
    objective = losses.Objective(config.loss, dataset.ignore_label, weights)
    return network, TrainingStep(views.scale_outputs(network), objective, config)


def watch(config, split):
    """Refuses to resume on other shards; returns the function that refuses those that have been replaced since then."""
    shard_record.refuse_changed(config.train_logdir, split)
    return lambda: None if config.input.cache else shard_state.refuse_changed(split.states)


def restore(config, model_config, network, checkpoints, dataset):
    """Resumes the training in train_logdir, or loads the initial weights; returns the step that comes next."""
    start = checkpoints.resume()
    if start is not None:
        print(f"Resuming {config.train_logdir} at step {start}", flush=True)
        return start
    initial_weights.load(config, model_config, network, dataset)
    checkpoints.step.optimizer.start_averages()  # at the weights that were loaded, not at the random ones before them
    return 0


def recalibrate(network, step, stream):
    """Gives batch norms the statistics of the first batches; the network computes the same."""
    images = (batch[0] for batch in stream(0).take(RECALIBRATION_BATCHES))
    count = recalibrate_batch_norm(network, images)
    step.optimizer.start_averages()
    print(f"Measured {count} batch norms on {RECALIBRATION_BATCHES} batches", flush=True)


def file_names(stream, step):
    """Returns the names of the images in the batch of `step`."""
    return [escaping.decoded(name) for name in next(iter(stream(step)))[2].numpy()]


def sampler(network, stream):
    """Returns the function (step, count) -> (images, labels, predictions) of the first examples in a step's batch."""
    predictor = Predictor(network)

    def sample(step, count):
        images, labels, _names = next(iter(stream(step)))
        predictions, _probabilities = predictor(images[:count])
        return images[:count].numpy(), labels[:count].numpy(), predictions.numpy()

    return sample


def best_checkpoint(config, network, step, progress):
    """Returns the `BestCheckpoint` that scores the network on eval_split and keeps the best weights."""
    run = config.run
    split = source.open_split(config.dataset_dir, run.eval_split, config.dataset, config.input)
    pipeline.refuse_unlabelled(split)
    shard_record.refuse_changed(config.train_logdir, split)
    if progress.writes:
        shard_record.remember(config.train_logdir, split)
    resize = ResizeConfig(
        **{field.name: getattr(config.augment, field.name) for field in dataclasses.fields(ResizeConfig)}
    )
    predictor = Predictor(views.any_size(network), run.eval_crop_size)  # the same weights, not a copy
    split_predictor = make_split_predictor(predictor, split, resize, run.eval_crop_size)

    def score():
        # As in eval: from the moving averages, without TF32.
        with (
            step.optimizer.averaged(),
            devices.tf32(False),
            memory.told(
                lambda: f"evaluating while training, {split_predictor.describe(1)}",
                lambda size: advice.LESS_THAN_EVALUATIONS,
            ),
        ):
            scores = scoring.score(split_predictor, 1).seen
        progress.say(f"{run.eval_split}: mIoU {scores.mean_iou:.4f}")
        return {"mean_iou": scores.mean_iou, "pixel_accuracy": scores.pixel_accuracy}

    folder = tf.io.gfile.join(config.train_logdir, run_folder.BEST_FOLDER)
    return BestCheckpoint(
        Checkpoints(folder, step, keep=1, writes=progress.writes),
        score,
        progress,
        run.patience * run.eval_interval_steps,
        run.eval_split,
    )
