"""Where and how TensorFlow computes: GPUs and TF32, the distribution strategy, seed, compute type and allocator."""

import contextlib
import ctypes
import functools
import os
import random
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.data.ops import multi_device_iterator_ops

from deeplab import processor
from deeplab.config.options import GpuConfig
from deeplab.errors import UserError

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # parameters of glibc's mallopt, see malloc.h
_AMPERE = (8, 0)  # compute capability of the first GPUs with TF32 and bfloat16


def as_configured(program):
    """Decorates a function of a configuration: the options in `config.gpu` hold while the function runs.

    The function must be the first one that makes TensorFlow use a device. Afterwards TF32 is as it was before, so that
    a program that is called from Python changes nothing for its caller.
    """

    @functools.wraps(program)
    def run(config):
        take_memory_as_needed(config.gpu.gpu_memory_growth)
        with tf32(config.gpu.tf32):
            return program(config)

    return run


def take_memory_as_needed(wanted):
    """Lets TensorFlow take the memory of all GPUs as it needs it, if that is `wanted`.

    Raises:
      UserError: TensorFlow has taken the memory already, or the GPUs are split into logical devices.
    """
    for gpu in tf.config.list_physical_devices("GPU") if wanted else ():
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"gpu_memory_growth=True: {gpu.name} cannot change any more ({error})") from None


@contextlib.contextmanager
def tf32(enabled):
    """Lets GPUs use TF32 inside the `with`, or keeps them from it. This holds for all threads of the process.

    TensorFlow reads the switch whenever an operation runs, so that it also holds for graphs that were traced before.
    There are two exceptions. What XLA has compiled stays as it is. And TensorFlow keeps the algorithm that it has found
    for a convolution: one of the same batch, sizes and kernel that ran before the `with` runs as it ran then. Images of
    an evaluation come one at a time, so that their convolutions have other sizes than those of a training.
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(enabled)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def computes_in_tf32():
    """Tells whether float32 convolutions are computed in TF32 now: it is switched on, and a GPU has it."""
    if not tf.config.experimental.tensor_float_32_execution_enabled():
        return False
    return any(capability >= _AMPERE for capability in _compute_capabilities(unknown=_AMPERE))


def _compute_capabilities(unknown):
    """Returns the (major, minor) compute capability of every GPU, and `unknown` where it is not told."""
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [one.get("compute_capability", unknown) for one in details]


class Bfloat16(NamedTuple):
    """Whether the device that TensorFlow uses has instructions for bfloat16, and how it is told."""

    is_computed: bool
    told: str  # such as "this processor computes in it (amx_bf16)"
    feature: str | None = None  # of `processor.BFLOAT16`, where a processor computes


def bfloat16():
    """Returns the `Bfloat16` of this machine: of its TPU, or of its GPUs, or of its processor when it has none."""
    if tf.config.list_logical_devices("TPU"):
        return Bfloat16(True, "TPUs compute in it")
    if tf.config.list_logical_devices("GPU"):
        oldest = min(_compute_capabilities(unknown=(0, 0)), default=(0, 0))
        told = f"(compute capability {oldest[0]}.{oldest[1]})"
        if oldest >= _AMPERE:
            return Bfloat16(True, f"this GPU computes in it {told}")
        return Bfloat16(False, f"this GPU does not compute in bfloat16 {told}")
    feature = processor.bfloat16_feature()
    if feature:
        return Bfloat16(True, f"this processor computes in it ({feature})", feature)
    reason = f"it has none of {', '.join(processor.BFLOAT16)}" if processor.uses_onednn() else "oneDNN is off"
    return Bfloat16(False, f"this processor does not compute in bfloat16 ({reason})")


def gpu_config():
    """Returns the `GpuConfig` that holds in this process now, for another process that shall compute alike."""
    growth = map(tf.config.experimental.get_memory_growth, tf.config.list_physical_devices("GPU"))
    return GpuConfig(tf.config.experimental.tensor_float_32_execution_enabled(), any(growth))


def training_strategy(config):
    """Returns the tf.distribute strategy on which a training runs.

    Batch sizes are global, so the strategy only decides where the parts of a batch are computed.

    Args:
      config: a RunConfig. distribution_strategy="auto" takes the machines of TF_CONFIG, else all GPUs of this machine,
        else its CPU; "mirrored" takes all logical CPUs where there is no GPU.

    Raises:
      UserError: there is no TPU at the address, or no TF_CONFIG for several machines.
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


def evaluation_strategy(kind):
    """Returns the tf.distribute strategy on which eval runs, or None if a single device suffices.

    Only devices of this machine take part.

    Args:
      kind: distribution_strategy of eval. "auto" takes all GPUs if there are several; "mirrored" takes all logical
        CPUs where there is no GPU.
    """
    several = "mirrored" if len(tf.config.list_logical_devices("GPU")) > 1 else "one_device"
    kind = several if kind == "auto" else kind
    devices = tuple(_devices())
    return _mirrored(devices) if kind == "mirrored" and len(devices) > 1 else None


@functools.cache  # TensorFlow 2.21 mixes up the collectives of two MirroredStrategy objects on the same devices
def _mirrored(devices):
    return tf.distribute.MirroredStrategy(devices, _cross_device_ops(devices))


def _cross_device_ops(devices):
    """Returns how replicas sum over `devices`; None leaves it to TensorFlow: NCCL between GPUs, rings between CPUs.

    NCCL refuses two ranks on one card. TensorFlow 2.21 takes it all the same if another card is hidden from it, since
    it compares the number of logical GPUs with the number of all cards. A single device has nothing to sum, and must
    not need NCCL.
    """
    cards = len(tf.config.get_visible_devices("GPU"))
    shared = 0 < cards < len(tf.config.list_logical_devices("GPU"))
    return tf.distribute.ReductionToOneDevice() if shared or len(devices) == 1 else None


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
    """Tells whether this process writes checkpoints and logs: one process of a training on several machines does."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return True
    return resolver.task_type in ("chief", None) or (resolver.task_type == "worker" and _first_worker(resolver))


def _first_worker(resolver):
    return resolver.task_id == 0 and "chief" not in resolver.cluster_spec().as_dict()


def untuned(dataset):
    """Returns the dataset without tf.data's autotuner, so that the end of an iterator over it waits for nothing.

    The autotuner is a thread that sleeps for up to a minute between its turns. The end of an iterator waits for it and
    holds Python's lock meanwhile: after its last step a training would stand still, and no signal would reach it.
    Datasets made from this one are without it, too.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def iterate(batches):
    """Returns an iterator over a distributed dataset, made from one that is `untuned`, whose end waits for nothing.

    TensorFlow makes a dataset of its own for each device, which reads ahead and has nothing to tune.
    """
    made = multi_device_iterator_ops._create_device_dataset
    multi_device_iterator_ops._create_device_dataset = lambda *arguments: untuned(made(*arguments))
    try:
        return iter(batches)
    finally:
        multi_device_iterator_ops._create_device_dataset = made
        keep_freed_memory()


def keep_freed_memory():
    """Lets the process use memory again that it has freed; to be called after the first dataset iterator is made.

    TensorFlow 2.21 on Python 3.11 returns every freed block to the system (130,000 page faults a step, 10 % of its
    time): the first iterator over a distributed dataset (its GeneratorDataset) sets glibc's thresholds to 128 KB. The
    thresholds set here are those that glibc would have reached by itself.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # the C library is not glibc
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_MMAP_THRESHOLD, 32 << 20)
        allocator.mallopt(_TRIM_THRESHOLD, 64 << 20)


def return_freed_memory():
    """Returns the memory that the process has freed to the system, once. It is not returned while it is being freed.

    To return every block at once, as `mallopt` can, would make the first answer of an exported xception_65 three times
    as slow.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # the C library is not glibc
        ctypes.CDLL(None).malloc_trim(0)


def share_freed_memory():
    """Lets all threads take memory from two pools of the C library, instead of two or more for each of them.

    Only then does `return_freed_memory` reach all of it: of a pool of a thread it leaves what lies at the end, up to 64
    MB. To be called before threads have been started.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # the C library is not glibc
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


def set_seed(seed, deterministic=False):
    """Seeds Python, NumPy and TensorFlow, so that every process creates the same initial weights.

    Args:
      seed: an integer.
      deterministic: also use deterministic kernels only; on GPUs they are slower.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    tf.keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def set_precision(name):
    """Sets Keras' compute type to "none" (float32), "bfloat16" or "float16"; variables are float32 in any case."""
    tf.keras.mixed_precision.set_global_policy("float32" if name == "none" else f"mixed_{name}")
