"""What the layers are traced for: the kind of machine, and whether XLA compiles the graph.

The fastest form of an operation differs between a CPU, a GPU and XLA. The `fast_*` modules choose the form; they ask
here, so that the tests can trace on a CPU what a GPU would run.
"""

import contextlib
import contextvars
import functools

import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

_COMPILED = contextvars.ContextVar("compiled", default=False)


def is_accelerated():
    """Tells whether TensorFlow sees a GPU or a TPU."""
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def compiles_parts():
    """Tells whether XLA compiles some parts of a training step one by one, see `part`: on GPUs it is worth while.

    On one H100 with TensorFlow 2.21, two thirds of a step of xception_65 in bfloat16 were batch norms, which transpose
    their input and output, and gradients of depthwise convolutions. XLA reads and writes the memory of each only once
    or twice. The parts compile in half a minute; the whole step was not compiled after three minutes.
    """
    return is_accelerated() and not is_compiled()


def part(function):
    """Decorates a function of tensors of static shapes. It is compiled by XLA on its own where `compiles_parts()`.

    Arguments by keyword are Python values that can be hashed. Every combination of shapes, types and Python values is
    compiled once.
    """

    @functools.cache  # one tf.function for all combinations would warn that it is traced again and again
    def compiled_for(_shapes_and_types, settings):
        return tf.function(functools.partial(function, **dict(settings)), jit_compile=True, autograph=False)

    @functools.wraps(function)
    def call(*tensors, **settings):
        if not compiles_parts():
            return function(*tensors, **settings)
        shapes_and_types = tuple((tuple(tensor.shape), tensor.dtype) for tensor in tf.nest.flatten(tensors))
        return compiled_for(shapes_and_types, tuple(settings.items()))(*tensors)

    return call


def is_compiled():
    """Tells whether the graph that is being traced will be compiled by XLA: inside `compiled`, and on TPUs."""
    return _COMPILED.get() or bool(tf.config.list_logical_devices("TPU"))


def is_deterministic():
    """Tells whether kernels that may give other results in every run are forbidden, as by `--deterministic`.

    On a GPU, `tf.config.experimental.enable_op_determinism` then lets operations fail that have no other kernel.
    """
    return is_op_determinism_enabled()


@contextlib.contextmanager
def compiled(value=True):
    """Graphs that are traced inside the `with` are for XLA: sizes are static, and other forms are the fastest."""
    token = _COMPILED.set(value)
    try:
        yield
    finally:
        _COMPILED.reset(token)
