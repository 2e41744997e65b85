"""Small files that ask for much memory, time or room on the disk, and files with what no writer makes."""

import gzip
import os
import tarfile

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

import deeplab
from deeplab.checkpoints import archive, bundle, sources
from deeplab.files import limited
from helpers.places import ROOT


def refused(path, message):
    """Checks that a file is refused in one line that names it."""
    with pytest.raises(deeplab.UserError, match=message) as error:
        sources.read(str(path))
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def tar(*members, compress=gzip.compress):
    """Returns a .tar.gz of (TarInfo, bytes that follow its header)."""
    blocks = [info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512) for info, content in members]
    return compress(b"".join(blocks) + bytes(1024))


def info(name, size=0, kind=tarfile.REGTYPE):
    found = tarfile.TarInfo(name)
    found.size, found.type = size, kind
    return found


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([(info("x", 3 << 30, tarfile.XHDTYPE), b"")], "damaged archive .*header of a member is too large"),
        ([(info("x", 1 << 60, tarfile.XGLTYPE), b"")], "damaged archive .*header of a member is too large"),
        ([(info("x", 1 << 20, tarfile.GNUTYPE_LONGNAME), b"")], "damaged archive .*header of a member is too large"),
        ([(info("x", 1000, tarfile.XGLTYPE), b"20 comment=aaaaaaaa\n" * 50)] * 900, "damaged archive"),
        ([(info("a.pb", 1 << 60), b"")], r"refused, more than \d+ members or 8 GB"),
        ([(info("a.pb", 2 << 30), b"")], "refused, its weights are more than 2 times as large as the archive"),
        ([(info("\udcff.pb", 3), b"abc")], "has a name that no file can have"),
        ([(info("a.pb", 3, tarfile.GNUTYPE_SPARSE), b"abc")], "refused, its member|damaged archive"),
        ([(info("b" * 90 + "/a.pb", 3), b"abc")], "model.tar.gz: b+/a.pb: not a frozen graph"),
    ],
    ids=["pax", "global", "long name", "nested", "enormous", "ratio", "no text", "holes", "inside"],
)
def test_archives(tmp_path, members, message):
    path = tmp_path / "model.tar.gz"
    path.write_bytes(tar(*members))
    refused(path, message)


def test_an_archive_is_not_unpacked_onto_a_disk_without_room(tmp_path, monkeypatch):
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda folder: archive.shutil._ntuple_diskusage(9, 8, 1))
    path = tmp_path / "model.tar.gz"
    path.write_bytes(tar((info("a.pb", 3), b"abc")))
    refused(path, "a.pb needs 0 MB in .*, which has 0 MB; set TMPDIR")


def test_other_compressions_are_not_tried(tmp_path):
    import lzma

    path = tmp_path / "model.tar.gz"
    path.write_bytes(tar((info("a.pb", 3), b"abc"), compress=lzma.compress))
    refused(path, "damaged archive")


def dataset_without_content(path, shape):
    """Writes an HDF5 file whose only array is stored nowhere: the library fills it when it is read."""
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("Conv1/kernel:0", shape, np.float32)


@pytest.mark.parametrize("shape", [(2, 10**9), (10**6, 10**6, 10**6)])
def test_hdf5_arrays_that_are_larger_than_their_file(tmp_path, shape):
    path = tmp_path / "weights.h5"
    dataset_without_content(path, shape)
    refused(path, r"weights\.h5: not an HDF5 file, or damaged \(its arrays take more than \d+ MB\)")


def test_hdf5_arrays_of_other_files_and_types(tmp_path):
    import h5py

    (tmp_path / "secret").write_bytes(b"x" * 40)
    for name, options in {"external.h5": {"external": [(str(tmp_path / "secret"), 0, 40)]}, "text.h5": {}}.items():
        with h5py.File(tmp_path / name, "w") as file:
            kind = np.float32 if options else h5py.string_dtype()
            file.create_dataset("Conv1/kernel:0", (10,), kind, **options)
        refused(tmp_path / name, "is no array of numbers in this file")


def test_a_child_that_needs_too_much_or_is_ended_is_one_line(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    with pytest.raises(limited.Failed, match="memory"):
        limited.run("helpers.greedy", ["memory"], 200 << 20, 60)
    with pytest.raises(limited.Failed, match="SIGABRT"):
        limited.run("helpers.greedy", ["abort"], 200 << 20, 60)
    with pytest.raises(limited.Failed, match="more than 1 seconds"):
        limited.run("helpers.greedy", ["sleep"], 200 << 20, 1)
    with pytest.raises(limited.Failed, match=r"^no good$"):
        limited.run("helpers.greedy", ["refuse"], 200 << 20, 60)


def constant(shape, **fields):
    """Returns a frozen graph with one constant that a variable's name stands for."""
    graph = tf.compat.v1.GraphDef()
    node = graph.node.add(name="aspp0/weights", op="Const")
    node.attr["value"].tensor.CopyFrom(tensor_pb2.TensorProto(dtype=fields.pop("dtype", 1), **fields))
    for side in shape:
        node.attr["value"].tensor.tensor_shape.dim.add(size=side)
    return graph.SerializeToString()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (constant((10**5, 10**5), float_val=[1.0]), "its constants are larger than the file"),
        (constant((-1, 5), float_val=[1.0]), "a tensor of the shape"),
        (constant((2,), dtype=7, string_val=[b"a", b"b"]), "a constant that is no float"),
        (constant((2,), dtype=99, float_val=[1.0]), "a constant of the type 99"),
        (constant((7,), tensor_content=b"abc"), "not a frozen graph"),
        (b"\x0a\x00" * 1_000_002, "a graph of more than 1000000 nodes"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a number does not end"),
    ],
)
def test_frozen_graphs(tmp_path, content, message):
    path = tmp_path / "graph.pb"
    path.write_bytes(content)
    refused(path, message)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\0",
        b'model_checkpoint_path: "\xff"\n',
        b'model_checkpoint_path: "' + b"a" * 5000 + b'"\n',
        b'model_checkpoint_path: "\\0\\377"\n',
        b'model_checkpoint_path: "*/*/*"\n',
        b"all_model_checkpoint_paths {" * 10_000,
    ],
)
def test_state_files(tmp_path, content):
    bundle.write(bundle.prefix_for(str(tmp_path), 5), {"weights": np.ones(3)})
    (tmp_path / "checkpoint").write_bytes(content)
    assert sources.read(str(tmp_path)).step is None
    assert bundle.named_in_state(str(tmp_path)) is None


def test_names_that_are_no_text_beside_a_checkpoint(tmp_path):
    bundle.write(bundle.prefix_for(str(tmp_path), 5), {"weights": np.ones(3)})
    for name in (b"\xff", b"\xff.index", b"\xff.data-00000-of-00001"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"")
    assert bundle.latest(str(tmp_path)) == str(tmp_path / "model.ckpt-5")


def test_a_state_file_names_checkpoints_in_any_script(tmp_path):
    for name in ("é", "a b"):
        bundle.write(str(tmp_path / name), {"weights": np.ones(3)})
    for text in ('"é"', '"\\303\\251"'):
        (tmp_path / "checkpoint").write_text(f"model_checkpoint_path: {text}\n", "utf-8")
        assert bundle.named_in_state(str(tmp_path)) == str(tmp_path / "é")


def test_a_tflite_file_whose_lists_are_longer_than_the_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from file_fuzzing import samples

    samples._tflite(tmp_path)
    path = tmp_path / "tflite" / "graph.tflite"
    content = path.read_bytes()
    assert set(sources.read(str(path)).values) == {"aspp0/weights"}
    kernel = samples.KERNEL.transpose(3, 0, 1, 2).tobytes()
    length = content.index(kernel) - 4
    path.write_bytes(content[:length] + b"\xff\xff\xff\x7f" + content[length + 4 :])
    refused(path, "damaged .tflite file")
