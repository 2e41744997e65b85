"""What the processor has that decides how fast networks run: its instruction sets, and whether TensorFlow uses oneDNN.

Nothing is measured here. `devices.bfloat16` says what follows for this machine.
"""

import platform

from tensorflow.python.util import _pywrap_util_port

_CPUINFO = "/proc/cpuinfo"
# Flags of /proc/cpuinfo on x86 and on ARM: vectors, then products of int8 and of bfloat16.
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "i8mm", "bf16")
# Those with which a processor multiplies bfloat16 numbers, the fastest one first. The last one is ARM's.
BFLOAT16 = ("amx_bf16", "avx512_bf16", "bf16")


def name():
    """Returns the name of the processor, such as "AMD EPYC"; its architecture where Linux does not tell the name."""
    return _values("model name") or platform.machine()


def features():
    """Returns a tuple of the FEATURES that this processor has; () where the system does not tell them as Linux does."""
    flags = (_values("flags") or _values("Features")).split()  # x86, ARM
    return tuple(feature for feature in FEATURES if feature in flags)


def uses_onednn():
    """Tells whether TensorFlow computes with oneDNN, which alone has kernels for these instructions.

    It does so by default on x86 processors with AVX512_VNNI or later instructions; TF_ENABLE_ONEDNN_OPTS overrides it.
    """
    return _pywrap_util_port.IsMklEnabled()  # the log line "oneDNN custom operations are on" is all that is public


def bfloat16_feature():
    """Returns the fastest of BFLOAT16 that this processor has and TensorFlow uses, or None."""
    found = features() if uses_onednn() else ()
    return next((feature for feature in BFLOAT16 if feature in found), None)


def _values(key):
    """Returns what /proc/cpuinfo says about the first core under `key`; "" without such a file or line."""
    try:
        with open(_CPUINFO, encoding="utf-8") as file:
            lines = (line.partition(":") for line in file)
            return next((value.strip() for title, _, value in lines if title.strip() == key), "")
    except OSError:
        return ""
