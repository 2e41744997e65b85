"""Imports TensorFlow without the lines that its C++ code prints before logging can be configured."""

import os
import sys
import tempfile

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # users who set this variable want to see what TensorFlow prints
_ERRORS_ONLY = "3"  # the level set here, which processes that are started from here inherit
_NVIDIA_DRIVER = "/proc/driver/nvidia/version"  # exists if there is a GPU, about which messages may matter


def import_tensorflow():
    """Imports TensorFlow and lists its devices. What TensorFlow writes to stderr is shown only if that fails.

    Does nothing if the user has chosen a log level or if there is a GPU.
    """
    if os.environ.get(_LOG_LEVEL, _ERRORS_ONLY) != _ERRORS_ONLY or os.path.exists(_NVIDIA_DRIVER):
        return
    os.environ[_LOG_LEVEL] = _ERRORS_ONLY  # errors become exceptions; the other messages are about slower kernels
    sys.stderr.flush()
    with tempfile.TemporaryFile() as messages:
        stderr = os.dup(2)
        os.dup2(messages.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
