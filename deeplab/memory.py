"""Running out of memory, told in one line: what does not fit, into how much, and which options need less."""

import contextlib
import os
import re

import tensorflow as tf
from tensorflow.python.client import device_lib

from deeplab.errors import UserError, lack_of_memory

# Allocators of the memory outside of GPUs, as TensorFlow names them.
_HOST_ALLOCATOR = re.compile(r"allocator (?:cpu|mklcpu|\w*host\w*)", re.IGNORECASE)


@contextlib.contextmanager
def told(what, way_out):
    """Turns a lack of memory inside the `with` into a `UserError`; other errors pass through.

    Args:
      what: function () -> what does not fit, a text such as "eval_batch_size=4 with images of 513x513".
      way_out: function (bytes of the memory or None) -> what needs less, a text.
    """
    try:
        yield
    except Exception as error:
        cause = lack_of_memory(error)
        if cause is None:
            raise
        on_gpu = bool(tf.config.list_logical_devices("GPU")) and not _HOST_ALLOCATOR.search(str(error))
        size = _gpu_bytes() if on_gpu else _host_bytes()
        place = "memory of the GPU" if on_gpu else "memory of this machine"
        place += f" ({size / 2**30:.1f} GiB)" if size else ""
        raise UserError(f"{what()}: does not fit into the {place}; {way_out(size)} ({cause})") from None


def _gpu_bytes():
    """Returns how many bytes TensorFlow may use of the GPU that has least memory; None if it does not say."""
    try:
        limits = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
    except (RuntimeError, tf.errors.OpError):  # a GPU without any memory left
        return None
    return min(limits, default=None)


def _host_bytes():
    """Returns the bytes of the memory of this machine; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
