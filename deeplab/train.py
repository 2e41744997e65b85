"""Trains a network on the shards of a data set.

    python -m deeplab.train --train_logdir=DIR --dataset_dir=SHARDS --training_number_of_steps=30000 ...

Resume: the same command with the same --train_logdir goes on where the training was interrupted, with exactly the
weights that an uninterrupted training would have. Fine-tune: --tf_initial_checkpoint starts a new training from the
weights of another one, or of the reference's checkpoints. SIGTERM saves and ends with exit code 75: start it again.
"""

from deeplab import cli
from deeplab.config.training import TrainConfig


def train(config):
    """Trains as `config`, a TrainConfig, says; returns the exit code: None, or 75 when SIGTERM came."""
    import tensorflow as tf

    from deeplab import losses, model, runtime, trained
    from deeplab.backbones import BACKBONES
    from deeplab.checkpoints import restore
    from deeplab.data import catalog, pipeline, records, source
    from deeplab.training import logdir, loop, progress, state, step

    # Where: devices, precision, seed, and a folder that remembers this exact configuration.
    strategy = runtime.strategy(config.run)
    runtime.set_seed(config.run.random_seed, config.run.deterministic)
    runtime.set_precision(config.run.mixed_precision)
    split = source.open_split(config.dataset_dir, config.train_split, config.dataset, config.input)
    dataset, model_config = split.dataset, config.model_config(split.dataset.num_classes)
    folder = config.train_logdir if runtime.is_chief(strategy) else None
    settings = logdir.settings(config, model_config)
    if folder:
        logdir.lock(folder)
        logdir.check_same(tf.io.gfile.join(folder, trained.CONFIG_FILE), settings)
        trained.remember(folder, model_config, settings["training"], dataset)

    # What: network, loss, optimizer; whatever owns variables is born in the strategy's scope.
    with strategy.scope():
        network = model.build_model(model_config, (*config.train_crop_size, 3))
        weights = losses.class_weights(config.loss.class_weights, dataset, model_config.label_weights)
        objective = losses.Objective(config.loss, dataset.ignore_label, weights)
        training_step = step.Step(model.scale_outputs(network), objective, config)
        start = state.resume(config.train_logdir, network, training_step)
        if start is not None:
            print(f"Resuming {config.train_logdir} at step {start}")
        elif config.tf_initial_checkpoint:
            options = (config.initialize_last_layer, config.last_layers_contain_logits_only)
            print(restore(network, config.tf_initial_checkpoint, *options))
            training_step.optimizer.start_averages()

    # From what: shards become batches of (image, label), entered at the step already reached.
    pad_rgb = BACKBONES[model_config.model_variant].pad_rgb

    def stream(first, host=0, hosts=1):
        shape = (config.train_crop_size, config.train_batch_size, pad_rgb, config.run.random_seed, host, hosts)
        batches, service = pipeline.Batches(*shape), config.input.data_service
        return pipeline.train_batches(split, config.augment, batches, first, config.input.cache, service)

    # Go: n steps at a time; log, save, evaluate between.
    batches = runtime.distribute(strategy, stream, start or 0, config.train_batch_size)
    session = loop.Session(
        config=config,
        folder=folder,
        model=network,
        step=training_step,
        stepper=loop.Stepper(strategy, training_step, batches, config.run.jit_compile),
        progress=progress.Progress(folder, config, start or 0, None, catalog.label_colormap(dataset)),
        names_at=lambda at: [name.decode() for name in next(iter(stream(at)))[2].numpy()],
    )
    with records.user_errors():
        return session.train()


def main():
    cli.main(train, TrainConfig)


if __name__ == "__main__":
    main()
