"""The index of a checkpoint, read without TensorFlow's reader: right ones are accepted, all others are refused."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.checkpoints import bundle, index, table, wire
from deeplab.errors import UserError
from helpers.places import ROOT

WEIGHTS = np.arange(42, dtype=np.float32).reshape(6, 7)
ENTRY = b"\x08\x01\x12\x04\x12\x02\x08\x03\x28\x0c"  # float32, 3 values, at byte 0, 12 bytes


@pytest.fixture
def structure(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from file_fuzzing import structure

    return structure


def written(structure, entries):
    """Returns the bytes of an index with these entries."""
    data, meta = structure._block(entries), structure._block([])
    top = structure._block([(b"\xff", wire_numbers(structure, 0, len(data) - table.TRAILER))])
    places = (len(data), len(meta) - table.TRAILER, len(data) + len(meta), len(top) - table.TRAILER)
    footer = wire_numbers(structure, *places).ljust(table.FOOTER - 8, b"\0") + table.MAGIC.to_bytes(8, "little")
    return data + meta + top + footer


def wire_numbers(structure, *numbers):
    return b"".join(map(structure.varint, numbers))


def test_parts_texts_and_long_sides_are_read_as_tensorflow_reads_them(tmp_path):
    prefix, side = str(tmp_path / "model.ckpt-1"), 1 << 21
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=["a\0b\xff", "a\0b\xff", "long", "long", "texts", "none"],
        shape_and_slices=["6 7 0,2:-", "6 7 2,4:-", f"{side} 0,{side // 2}", f"{side} {side // 2},{side // 2}", "", ""],
        tensors=[
            *(WEIGHTS[:2], WEIGHTS[2:], np.zeros(side // 2, np.int8), np.ones(side // 2, np.int8)),
            *(np.array(["one", "two" * 100]), np.zeros((0, 3), np.float16)),
        ],
    )
    values = bundle.read(prefix)
    assert set(values) == {"a\0b\xff", "long", "texts", "none"}
    np.testing.assert_array_equal(values["a\0b\xff"], WEIGHTS)
    assert values["texts"][1] == b"two" * 100
    assert values["long"].sum() == side // 2


def test_numbers_in_the_keys_of_parts():
    codes = {-1: "7f", 0: "80", 63: "bf", 64: "c040", 8191: "dfff", 8192: "e02000", 1 << 20: "f0100000"}
    for number, code in codes.items():
        assert index._signed(number).hex() == code


def test_compressed_blocks():
    assert table._unsnapped(b"\x05\x10hello") == b"hello"
    assert table._unsnapped(b"\x08\x04ab\x09\x02") == b"ab" + b"ababab"  # 6 bytes from 2 before
    assert table._unsnapped(b"\x06\x00a\x12\x01\x00") == b"a" * 6
    for damaged in (b"\x05\x10hell", b"\xff\xff\xff\xff\x0f\x10hello", b"\x08\x04ab\x09\x03", b"\x04\x10hello", b""):
        with pytest.raises(wire.Damaged):
            table._unsnapped(damaged)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (b"\x08\x01\x12\x04\x12\x02\x08\x04\x28\x0c", "shape"),
        (b"\x08\x01\x12\x04\x12\x02\x08\x03\x20\x01\x28\x0c", "a file is cut"),
        (b"\x08\x01\x12\x04\x12\x02\x08\x03\x18\x01\x28\x0c", "does not exist"),
        (b"\x08\x15\x12\x04\x12\x02\x08\x03\x28\x0c", "type 21"),
        (b"\x08\x01\x12\x0d\x12\x0b\x08" + b"\xff" * 9 + b"\x01\x28\x0c", "a tensor of the shape"),
        (b"\x08\x01\x12\x00" + b"\x12\x04\x12\x02\x08\x03" + b"\x28\x0c", "comes twice"),
        (b"\x08\x01\x12" + bytes(1) + b"\x28\x0c", "shape"),
        (b"\x08\x07\x12\x06\x12\x04\x08\xff\xff\x7f\x28\x0c", "texts"),
        (ENTRY + b"\x3a\x02\x0a\x00", "a part of a tensor is missing"),
        (b"\x08\x01\x12\x02\x18\x01\x28\x04", "without a fixed number"),
        (b"\x0b", "field of the type 3"),
        (b"\x12\xff\x7f", "longer than its file"),
    ],
)
def test_entries_that_no_writer_makes_are_refused(structure, tmp_path, entry, message):
    prefix = str(tmp_path / "model.ckpt-1")
    (tmp_path / "model.ckpt-1.data-00000-of-00001").write_bytes(bytes(12))
    path = tmp_path / "model.ckpt-1.index"
    path.write_bytes(written(structure, [(b"", b"\x08\x01"), (b"weights", ENTRY)]))
    index.check(prefix)
    path.write_bytes(written(structure, [(b"", b"\x08\x01"), (b"weights", entry)]))
    with pytest.raises(UserError, match=f"model.ckpt-1: damaged checkpoint .*{message}") as error:
        bundle.read(prefix)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [(b"weights", ENTRY)],
        [(b"", b"\x08\x00"), (b"weights", ENTRY)],
        [(b"", b"\x08\xff\xff\x7f"), (b"weights", ENTRY)],
        [(b"", b"\x08\x01"), (b"b", ENTRY), (b"a", ENTRY)],
        [(b"", b"\x08\x01"), (b"a", ENTRY), (b"b", ENTRY)],  # both at byte 0: any number of tensors in a small file
        [(b"", b"\x08\x01"), (b"\0a", ENTRY)],
    ],
)
def test_tables_that_no_writer_makes_are_refused(structure, tmp_path, entries):
    (tmp_path / "model.ckpt-1.data-00000-of-00001").write_bytes(bytes(12))
    (tmp_path / "model.ckpt-1.index").write_bytes(written(structure, entries))
    with pytest.raises(UserError, match=r"model\.ckpt-1: damaged checkpoint"):
        bundle.read(str(tmp_path / "model.ckpt-1"))


def test_every_cut_of_an_index_is_refused(tmp_path):
    prefix = str(tmp_path / "model.ckpt-1")
    bundle.write(prefix, {"weights": WEIGHTS})
    content = (tmp_path / "model.ckpt-1.index").read_bytes()
    for size in range(len(content)):
        with pytest.raises(wire.Damaged):
            list(table.entries(content[:size]))
