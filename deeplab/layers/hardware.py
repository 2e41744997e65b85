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

    On one H100 with TensorFlow 2.21, three quarters of a step of xception_65 in bfloat16 were batch norms, which
    transposed their input and output, and gradients of depthwise convolutions, for which cuDNN had slow kernels. XLA
    makes one or two passes over the memory of each. Compiling the whole step is faster still, but took minutes.
    """
    return bool(tf.config.list_logical_devices("GPU")) and not is_compiled()


def part(function):
    """Decorates a function of tensors of static shapes. It is compiled by XLA on its own where `compiles_parts()`.

    Arguments by keyword are Python values. Every combination of shapes, types and Python values is compiled once.
    """
    compiled_function = tf.function(function, jit_compile=True, autograph=False)

    @functools.wraps(function)
    def call(*tensors, **settings):
        return (compiled_function if compiles_parts() else function)(*tensors, **settings)

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
