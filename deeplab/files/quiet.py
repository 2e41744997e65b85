"""Imports TensorFlow without the lines that its C++ side prints before any logging can be configured."""

import os
import sys
import tempfile

_CHOSEN = "TF_CPP_MIN_LOG_LEVEL"  # whoever sets it wants to see what TensorFlow says
_QUIET = "3"  # ... unless it is this, which processes started from here inherit
_NVIDIA_DRIVER = "/proc/driver/nvidia/version"  # with a GPU its messages may matter


def import_tensorflow():
    """Imports TensorFlow and looks for devices; what it writes to stderr meanwhile is shown only if that fails."""
    if os.environ.get(_CHOSEN, _QUIET) != _QUIET or os.path.exists(_NVIDIA_DRIVER):
        return
    os.environ[_CHOSEN] = _QUIET  # errors reach Python as exceptions; what is left tells of slower kernels
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            said.seek(0)
            os.write(stderr, said.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
