"""Batches on their way to the devices: the same examples for any number of them."""

from deeplab.errors import UserError


def distribute(strategy, stream, first, batch_size):
    """Returns the dataset of (images, labels) that feeds the replicas of a strategy.

    The examples of a step are the same, in the same order, whatever the number of replicas and machines.

    Args:
      strategy: a tf.distribute strategy.
      stream: function (first step, host, hosts) -> dataset of (images, labels, ...): the share of every global batch
        that falls to the machine number `host` of `hosts`, from the first step on.
      first: the step at which the dataset begins. A training that is resumed enters its stream here and sees the
        batches that it would have seen without the interruption.
      batch_size: images in a global batch.

    Raises:
      UserError: the replicas cannot share the batch evenly.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(f"train_batch_size={batch_size}: expected a multiple of the {replicas} devices that share it")

    def of_host(context):
        batches = stream(first, context.input_pipeline_id, context.num_input_pipelines)
        batches = batches.map(lambda images, labels, *_: (images, labels))  # file names cannot go to a GPU or TPU
        parts = context.get_per_replica_batch_size(batch_size)
        return batches.rebatch(parts, drop_remainder=True) if replicas > 1 else batches

    return strategy.distribute_datasets_from_function(of_host)
