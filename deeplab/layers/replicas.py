"""Sums over the replicas that compute one batch together; without a strategy there is one replica."""

import tensorflow as tf


def replicas():
    """Returns how many replicas compute the present batch together (1 outside of a strategy)."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def all_sum(value):
    """Sums a tensor, or a list of tensors, over the replicas."""
    if replicas() == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)


def all_gather(value):
    """Joins the equally long (N,) tensors of all replicas to one (replicas * N,) tensor, in the order of the replicas.

    A sum over replicas that each write to their own place: unlike tf.distribute's `all_gather` its shape is static.
    """
    if replicas() == 1:
        return value
    own = tf.range(replicas()) == replica_index()
    return tf.reshape(all_sum(tf.where(own[:, tf.newaxis], value[tf.newaxis], tf.zeros_like(value))), [-1])


def replica_index():
    """Returns the index of this replica, an int32 scalar tensor (0 outside of a strategy)."""
    context = tf.distribute.get_replica_context()
    return tf.constant(0) if context is None else tf.cast(context.replica_id_in_sync_group, tf.int32)
