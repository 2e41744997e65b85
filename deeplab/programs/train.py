"""Trains a network: the story of `python -m deeplab.train`, told once."""

RECALIBRATION_BATCHES = 25


def train(config):
    """Trains as `config`, a TrainConfig, says; returns the exit code: None, or 75 when SIGTERM came."""
    from deeplab import devices
    from deeplab.data import catalog, records, source
    from deeplab.training import loop, progress

    # Where: devices, precision, seed, and a folder that remembers this exact configuration.
    strategy = devices.strategy(config.run)
    devices.set_seed(config.run.random_seed, config.run.deterministic)
    devices.set_precision(config.run.mixed_precision)
    split = source.open_split(config.dataset_dir, config.train_split, config.dataset, config.input)
    model_config = config.model_config(split.dataset.num_classes)
    folder = config.train_logdir if devices.is_chief(strategy) else None
    if folder:
        settle(folder, config, model_config, split.dataset)

    # What: network, loss, optimizer; whatever owns variables is born in the strategy's scope.
    with strategy.scope():
        network, step = build(config, model_config, split.dataset)
        start = restore(config, model_config, network, step)

    # From what: shards become batches of (image, label), entered at the step already reached.
    stream = batches(config, split, model_config)
    if config.recalibrate_batch_norm and not start:
        recalibrate(network, step, stream)
    steps = loop.Stepper(
        strategy, step, devices.distribute(strategy, stream, start, config.train_batch_size), config.run.jit_compile
    )

    # Go: n steps at a time; log, save, evaluate between.
    colors = catalog.label_colormap(split.dataset)
    log = progress.Progress(folder, config, start, sampler(network, stream), colors)
    session = loop.Session(config, folder, network, step, steps, log, lambda at: file_names(stream, at))
    if config.run.eval_interval_steps:
        session.evaluate = evaluator(config, network, session)
    with records.user_errors():
        return session.train()


def settle(folder, config, model_config, dataset):
    """Takes the train_logdir for this process and writes config.json and dataset.json, or refuses other options."""
    from deeplab.inference import trained
    from deeplab.training import run_folder

    settings = run_folder.settings(config, model_config)
    run_folder.lock(folder)
    run_folder.check_same(f"{folder}/{trained.CONFIG_FILE}", settings)
    trained.remember(folder, model_config, settings["training"], dataset)


def build(config, model_config, dataset):
    """Returns the network, whose input is a training crop, and its `Step`."""
    from deeplab.model import views
    from deeplab.model.network import build_model
    from deeplab.training import losses
    from deeplab.training.step import Step

    network = build_model(model_config, (*config.train_crop_size, 3))
    weights = losses.class_weights(config.loss.class_weights, dataset, model_config.label_weights)
    objective = losses.Objective(config.loss, dataset.ignore_label, weights)
    return network, Step(views.scale_outputs(network), objective, config)


def restore(config, model_config, network, step):
    """Resumes the training in train_logdir, or takes the initial weights; returns the step that comes next."""
    from deeplab.checkpoints import restoring
    from deeplab.training import state

    start = state.resume(config.train_logdir, network, step)
    if start is not None:
        print(f"Resuming {config.train_logdir} at step {start}", flush=True)
        return start
    if config.tf_initial_checkpoint:
        options = (config.initialize_last_layer, config.last_layers_contain_logits_only)
        print(restoring.restore(network, config.tf_initial_checkpoint, *options), flush=True)
    if config.backbone_weights:
        print(restoring.restore_backbone(network, model_config, config.backbone_weights), flush=True)
    step.optimizer.start_averages()
    return 0


def recalibrate(network, step, stream):
    """Gives batch norms the statistics of the first batches; the network computes the same."""
    from deeplab.checkpoints.batch_norms import recalibrate_batch_norm

    images = (batch[0] for batch in stream(0).take(RECALIBRATION_BATCHES))
    count = recalibrate_batch_norm(network, images)
    step.optimizer.start_averages()
    print(f"Measured {count} batch norms on {RECALIBRATION_BATCHES} batches", flush=True)


def batches(config, split, model_config):
    """Returns the function (first step, host, hosts) -> dataset of (images, labels, file names)."""
    from deeplab.data import pipeline
    from deeplab.model.backbones import BACKBONES

    shape = (config.train_crop_size, config.train_batch_size, BACKBONES[model_config.model_variant].pad_rgb)

    def stream(first, host=0, hosts=1):
        share = pipeline.Batches(*shape, config.run.random_seed, host, hosts)
        options = config.input
        return pipeline.train_batches(split, config.augment, share, first, options.cache, options.data_service)

    return stream


def file_names(stream, step):
    """Returns the names of the images in the batch of `step`."""
    return [name.decode() for name in next(iter(stream(step)))[2].numpy()]


def sampler(network, stream):
    """Returns the function step -> (images, labels, predictions) of that step's batch, for pictures."""
    from deeplab.inference.predictor import Predictor

    predictor = Predictor(network)

    def sample(step):
        images, labels, _names = next(iter(stream(step)))
        predictions, _probabilities = predictor(images[:3])
        return images.numpy(), labels.numpy(), predictions.numpy()

    return sample


def evaluator(config, network, session):
    """Returns the `Best` that scores the network on eval_split and keeps the best checkpoint."""
    from deeplab.config.data import ResizeConfig
    from deeplab.data import source
    from deeplab.evaluation import batches as evaluation
    from deeplab.evaluation import scoring
    from deeplab.inference import trained
    from deeplab.inference.predictor import Predictor
    from deeplab.model import views
    from deeplab.training import best, state

    run = config.run
    split = source.open_split(config.dataset_dir, run.eval_split, config.dataset, config.input)
    resize = ResizeConfig(**{name: getattr(config.augment, name) for name in ResizeConfig.__dataclass_fields__})
    same_weights = views.any_size(network)
    scored = evaluation.of(Predictor(same_weights, run.eval_crop_size), split, resize, run.eval_crop_size)

    def score():
        with session.step.optimizer.averaged():
            scores = scoring.score(scored, 1).seen
        session.progress.say(f"{run.eval_split}: mIoU {scores.mean_iou:.4f}")
        return {"mean_iou": scores.mean_iou, "pixel_accuracy": scores.pixel_accuracy}

    def save(folder):
        session.progress.say(f"best so far: {state.save(folder, network, session.step, keep=1)}")

    folder, writes = f"{config.train_logdir}/{trained.BEST}", session.folder is not None
    return best.Best(folder, writes, score, save, session.progress.note, run.patience * run.eval_interval_steps)
