"""Devices: the strategy, the seed and the compute type."""

import contextlib
import ctypes
import functools
import os
import random

import numpy as np
import tensorflow as tf

from deeplab.errors import UserError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def strategy(config):
    """Returns the tf.distribute strategy for a RunConfig.

    "auto" takes the machines of TF_CONFIG, else all GPUs of this machine, else its CPU. "mirrored" without a GPU takes
    all logical CPUs.
    Batch sizes are global: the strategy only decides where the parts of a batch are computed.
    """
    kind = config.distribution_strategy
    if kind == "auto":
        kind = _automatic(config)
    if kind == "tpu":
        return _tpu(config.tpu)
    if kind == "multi_worker_mirrored":
        if not os.environ.get("TF_CONFIG"):
            raise UserError(
                "distribution_strategy=multi_worker_mirrored: TF_CONFIG is not set; it names the machines and this one"
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = _devices()
    if kind == "mirrored":
        return _mirrored(tuple(devices))
    return tf.distribute.OneDeviceStrategy(devices[0])


def for_evaluation(kind):
    """Returns the strategy of eval, over the devices of this machine alone, or None where one device does it.

    "auto" takes all GPUs if there are several; "mirrored" takes all logical CPUs where there is no GPU.
    """
    several = "mirrored" if len(tf.config.list_logical_devices("GPU")) > 1 else "one_device"
    kind = several if kind == "auto" else kind
    devices = tuple(_devices())
    return _mirrored(devices) if kind == "mirrored" and len(devices) > 1 else None


@functools.cache  # a second one on the same devices would confuse its collectives with the first one's (2.21)
def _mirrored(devices):
    return tf.distribute.MirroredStrategy(devices)


def _automatic(config):
    if config.tpu is not None:
        return "tpu"
    if '"worker"' in os.environ.get("TF_CONFIG", ""):
        return "multi_worker_mirrored"
    return "mirrored" if len(tf.config.list_logical_devices("GPU")) > 1 else "one_device"


def _devices():
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    return [f"/{kind.lower()}:{i}" for i in range(len(tf.config.list_logical_devices(kind)))]


def _tpu(address):
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=address or "local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(f"tpu={address!r}: no TPU there ({' '.join(str(error).split())[:200]})") from None
    return tf.distribute.TPUStrategy(resolver)


def is_chief(strategy):
    """Tells whether this process is the one that writes."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return True
    return resolver.task_type in ("chief", None) or (resolver.task_type == "worker" and _first_worker(resolver))


def _first_worker(resolver):
    return resolver.task_id == 0 and "chief" not in resolver.cluster_spec().as_dict()


def distribute(strategy, stream, first, batch_size):
    """Returns a dataset of (images, labels) for the replicas of a strategy, in one order whatever their number.

    Args:
      strategy: a tf.distribute strategy.
      stream: function (first step, host, hosts) -> dataset of (images, labels, ...) with this host's share of a batch.
      first: the step at which it is entered.
      batch_size: images of all replicas together.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(f"train_batch_size={batch_size}: expected a multiple of the {replicas} devices that share it")

    def of_host(context):
        batches = stream(first, context.input_pipeline_id, context.num_input_pipelines)
        batches = batches.map(lambda images, labels, *_: (images, labels))
        parts = context.get_per_replica_batch_size(batch_size)
        return batches.rebatch(parts, drop_remainder=True) if replicas > 1 else batches

    return strategy.distribute_datasets_from_function(of_host)


def iterate(batches):
    """Returns an iterator over a distributed dataset, and lets the process use memory again that it has freed.

    Where TensorFlow runs on Python 3.11, the first such iterator of a process tells glibc to hand every block of 128 KB
    back to the system at once (its GeneratorDataset does); a step of xception_65 then takes a tenth longer, on fresh
    pages. The limits set here are those that glibc would have come to by itself.
    """
    iterator = iter(batches)
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_MMAP_THRESHOLD, 32 << 20)
        allocator.mallopt(_TRIM_THRESHOLD, 64 << 20)
    return iterator


def set_seed(seed, deterministic=False):
    """Seeds Python, NumPy and TensorFlow, so that new weights are the same in every process."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    tf.keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def set_precision(name):
    """Sets Keras' compute type: "none", "bfloat16" or "float16"; variables are float32 in any case."""
    tf.keras.mixed_precision.set_global_policy("float32" if name == "none" else f"mixed_{name}")
