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


def moments_of_all(mean, variance):
    """Returns (mean, variance) over all replicas of the (C,) moments of this one; replicas hold equally many values."""
    if replicas() == 1:
        return mean, variance
    mean, within, square = tf.unstack(all_sum(tf.stack([mean, variance, tf.square(mean)])) / replicas())
    return mean, within + tf.maximum(square - tf.square(mean), 0)


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


def traced_alone():
    """Tells whether the graph of this replica is traced by itself, because XLA compiles it for one GPU.

    tf.distribute otherwise traces all replicas into one graph, in which `merge_call` joins them. XLA cannot compile a
    graph for several devices. The replicas then meet in collective operations alone, and each changes its own copies of
    the variables.
    """
    return tf.distribute.has_strategy() and tf.__internal__.distribute.strategy_supports_no_merge_call()


def own(variable):
    """Returns the copy of a variable that lies on the device of this replica."""
    copies = tf.distribute.get_strategy().experimental_local_results(variable)
    return copies[tf.get_static_value(replica_index()) % len(copies)]
