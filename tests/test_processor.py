"""Which instruction sets a processor has, and what follows for bfloat16 on processors, GPUs and TPUs."""

import pytest
import tensorflow as tf

from deeplab import devices, processor
from deeplab.benchmarks import timing

X86 = "processor\t: 0\nmodel name\t: A CPU: 3 GHz\nflags\t\t: fpu avx2 avx512f amx_tile {}\n\nflags\t: avx512_bf16\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd i8mm bf16\n"
NONE = "it has none of amx_bf16, avx512_bf16, bf16"


@pytest.fixture
def cpuinfo(monkeypatch, tmp_path):
    """Returns a function that lets /proc/cpuinfo hold a text, or be missing for None, and turns oneDNN on or off."""

    def holds(text, onednn=True):
        if text is not None:
            (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(processor, "_CPUINFO", str(tmp_path / "cpuinfo"))
        monkeypatch.setattr(processor, "uses_onednn", lambda: onednn)

    return holds


@pytest.mark.parametrize(
    ("text", "onednn", "features", "feature"),
    [
        (X86.format("amx_bf16 avx512_bf16"), True, ("avx2", "avx512f", "avx512_bf16", "amx_bf16"), "amx_bf16"),
        (X86.format("avx512_vnni avx512_bf16"), True, ("avx2", "avx512f", "avx512_vnni", "avx512_bf16"), "avx512_bf16"),
        (X86.format("avx512_bf16"), False, ("avx2", "avx512f", "avx512_bf16"), None),
        (X86.format("avx512_bf16x"), True, ("avx2", "avx512f"), None),
        (ARM, True, ("i8mm", "bf16"), "bf16"),
        ("", True, (), None),
        (None, True, (), None),
    ],
)
def test_features_are_read_where_linux_tells_them(text, onednn, features, feature, cpuinfo):
    cpuinfo(text, onednn)
    assert processor.features() == features
    assert processor.bfloat16_feature() == feature
    assert processor.name() == ("A CPU: 3 GHz" if text and "model name" in text else processor.platform.machine())


def test_tensorflow_says_whether_it_uses_onednn():
    assert processor.uses_onednn() in (True, False)


@pytest.mark.parametrize(
    ("text", "onednn", "expected"),
    [
        (X86.format("amx_bf16"), True, (True, "this processor computes in it (amx_bf16)", "amx_bf16")),
        (X86.format("fma"), True, (False, f"this processor does not compute in bfloat16 ({NONE})", None)),
        (None, True, (False, f"this processor does not compute in bfloat16 ({NONE})", None)),
        (ARM, False, (False, "this processor does not compute in bfloat16 (oneDNN is off)", None)),
    ],
)
def test_what_a_processor_computes_in(text, onednn, expected, cpuinfo):
    cpuinfo(text, onednn)
    assert devices.bfloat16() == expected


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ([(9, 0)], (True, "this GPU computes in it (compute capability 9.0)", None)),
        ([(9, 0), (7, 5)], (False, "this GPU does not compute in bfloat16 (compute capability 7.5)", None)),
        ([None], (False, "this GPU does not compute in bfloat16 (compute capability 0.0)", None)),
    ],
)
def test_what_a_gpu_computes_in(capabilities, expected, monkeypatch):
    def details(capability):
        return {} if capability is None else {"compute_capability": capability}

    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: capabilities if kind == "GPU" else [])
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: capabilities if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details)
    assert devices.bfloat16() == expected


def test_tpus_compute_in_it(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["tpu"] * (kind == "TPU"))
    assert devices.bfloat16() == (True, "TPUs compute in it", None)


def test_tables_name_the_machine(cpuinfo, monkeypatch):
    monkeypatch.setattr(timing.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(timing.tf.config, "list_physical_devices", lambda kind: [])
    cpuinfo(X86.format("avx512_bf16"))
    version = f"TensorFlow {tf.__version__}"
    assert timing.machine_line() == f"Machine: A CPU: 3 GHz, 2 cores, avx2 avx512f avx512_bf16; {version}, oneDNN on"
    cpuinfo("", onednn=False)
    unknown = processor.platform.machine()
    assert timing.machine_line() == f"Machine: {unknown}, 2 cores, features unknown; {version}, oneDNN off"
