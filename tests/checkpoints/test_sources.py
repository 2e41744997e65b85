"""Every kind of file that weights are read from, and files that are damaged or hostile."""

import io
import pathlib
import tarfile

import numpy as np
import pytest

import deeplab
from deeplab.checkpoints import archive, bundle, frozen_graph, sources, tflite
from deeplab.checkpoints.batch_norms import batch_norms, recalibrate_batch_norm
from helpers import original_graph

VALUES = {"aspp0/weights": np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)}


def values_at(step):
    return VALUES | {"global_step": np.int64(step)}


@pytest.fixture
def folder(tmp_path):
    for step in (5, 30):
        bundle.write(bundle.prefix_for(str(tmp_path), step), values_at(step))
    return tmp_path


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """(folder with graph.pb and graph.tflite, images, output of the original, its variables)."""
    folder = tmp_path_factory.mktemp("original")
    return folder, *original_graph.write_files(folder)


def pack(path, members):
    """Writes a .tar.gz of {name: bytes, or a TarInfo}."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = b"" if isinstance(content, tarfile.TarInfo) else content
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(path)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("form", ["{0}", "{0}/model.ckpt-30", "{0}/model.ckpt-30.index", "{0}/model.ckpt-30.meta"])
def test_checkpoint_by_any_name(folder, form):
    source = sources.read(form.format(folder))
    assert (source.kind, source.step) == ("checkpoint", 30)
    np.testing.assert_array_equal(source.values["aspp0/weights"], VALUES["aspp0/weights"])


def test_folder_takes_the_checkpoint_of_the_state_file(folder):
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-5"\n')
    assert sources.read(str(folder)).step == 5
    (folder / "checkpoint").write_text('model_checkpoint_path: "/cns/elsewhere/model.ckpt-7"\n')  # as published
    assert sources.read(str(folder)).step == 30
    (folder / "checkpoint").unlink()
    assert sources.read(folder).step == 30


def test_published_archive(folder):
    files = {f"deeplabv3_mnv2/{name}": content for name, content in files_of(folder).items()}
    path = pack(folder / "model.tar.gz", {"deeplabv3_mnv2/frozen_inference_graph.pb": b"unused"} | files)
    source = sources.read(path)
    assert (source.path, source.kind, source.step) == (path, "checkpoint in an archive", 30)
    np.testing.assert_array_equal(source.values["aspp0/weights"], VALUES["aspp0/weights"])


def test_archive_with_a_frozen_graph_only(original, tmp_path):
    folder, _images, _output, values = original
    path = pack(tmp_path / "model.tar.gz", {"some/frozen_inference_graph.pb": (folder / "graph.pb").read_bytes()})
    source = sources.read(path)
    assert source.kind == "frozen graph in an archive"
    assert set(source.values) == set(values)


def link(name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("../outside.pb", b"x"),
        ("a/../../outside.pb", b"x"),
        ("/tmp/outside.pb", b"x"),
        ("linked.pb", link("linked.pb", "/etc/passwd")),
    ],
)
def test_hostile_archives_are_refused(tmp_path, name, content):
    path = pack(tmp_path / "model.tar.gz", {name: content})
    with pytest.raises(deeplab.UserError, match="refused, its member"):
        sources.read(path)
    assert not list(tmp_path.rglob("outside.pb"))


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    path = pack(tmp_path / "bomb.tar.gz", {"a.pb": bytes(600), "b.pb": bytes(600)})
    with pytest.raises(deeplab.UserError, match=r"bomb\.tar\.gz: refused, more than"):
        sources.read(path)


def test_unpacked_files_are_removed(folder):
    with archive.unpacked(pack(folder / "model.tar.gz", files_of(folder))) as unpacked:
        assert (pathlib.Path(unpacked) / "model.ckpt-30.index").exists()
    assert not pathlib.Path(unpacked).exists()


def test_frozen_graph(original):
    folder, images, output, values = original
    read = frozen_graph.read(str(folder / "graph.pb"))
    assert set(read) == set(values)
    model = original_graph.our_model()
    report = deeplab.restore(model, str(folder / "graph.pb"))
    assert not report.missing
    np.testing.assert_allclose(model(images), output, atol=1e-4)


def test_tflite_with_folded_batch_norm(original):
    folder, images, output, values = original
    model = original_graph.our_model()
    report = deeplab.restore(model, str(folder / "graph.tflite"))
    assert not report.missing
    assert len(report.loaded) == len(values)
    np.testing.assert_allclose(model(images), output, atol=1e-4)


@pytest.mark.parametrize("file", original_graph.QUANTIZED)
def test_tflite_of_fewer_bits_is_dequantized(file, original):
    folder, images, output, values = original
    model = original_graph.our_model()
    report = deeplab.restore(model, str(folder / file))
    assert not report.missing
    assert len(report.loaded) == len(values)
    assert "dequantized" in str(report)
    off = np.max(np.abs(model(images) - output)) / np.max(np.abs(output))
    assert 0 < off < original_graph.QUANTIZED[file]


def test_recalibrated_batch_norm_computes_the_same(original):
    folder, images, output, _values = original
    model = original_graph.our_model()
    deeplab.restore(model, str(folder / "graph.tflite"))
    assert recalibrate_batch_norm(model, [images, images]) == len(batch_norms(model))
    np.testing.assert_allclose(model(images), output, atol=1e-4)
    np.testing.assert_allclose(model(images, training=True), output, atol=2e-3)  # now the statistics of the images
    assert all(float(np.min(norm.moving_variance)) != 1 for norm in batch_norms(model))


def test_names_in_tflite_files():
    names = {
        "MobilenetV2/Conv/weights": "MobilenetV2/Conv/weights",
        "aspp1_depthwise/depthwise_weights/read": "aspp1_depthwise/depthwise_weights",
        "a/depthwise/BatchNorm/FusedBatchNormV3": "a/depthwise/weights",
        "a/Conv2D_bias": "a/weights",
        "pnasnet/cell_0/separable_5x5_1/separable_conv2d": "pnasnet/cell_0/separable_5x5_1/pointwise_weights",
        "a/depthwise/Relu6": None,
        "a/weights_quant/FakeQuantWithMinMaxVars": "a/weights",
        "a/Conv2D_Fold_bias": "a/weights",
    }
    for tensor, expected in names.items():
        convolution = tflite._Convolution(tflite._CONV_2D, [tensor], None, None)
        assert tflite._variable_name(convolution) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tar.gz", b"nothing", "damaged archive"),
        ("a.pb", b"\xff\xff\xff", "not a frozen graph"),
        ("a.pb", b"", "no constant bears a variable's name"),
        ("a.tflite", b"0000TFL9", "not a .tflite file"),
        ("a.tflite", b"\xff\xff\xff\x7fTFL3", "damaged .tflite file"),
        ("a.tflite", b"\x1c\0\0\0TFL3" + bytes(100), "damaged .tflite file"),
        ("a.h5", b"nothing", "not an HDF5 file"),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(deeplab.UserError, match=message) as error:
        sources.read(str(path))
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["absent.tar.gz", "absent.pb", "absent.tflite", "absent.h5", "absent", "absent/model.ckpt-1"]
)
def test_absent_files_are_refused(tmp_path, name):
    with pytest.raises(deeplab.UserError, match=name):
        sources.read(str(tmp_path / name))


def test_damaged_checkpoint_is_refused(folder):
    data = folder / "model.ckpt-30.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-4])
    with pytest.raises(deeplab.UserError, match=r"model\.ckpt-30: damaged"):
        sources.read(str(folder))


def test_cut_archive_is_refused(folder):
    path = pathlib.Path(pack(folder / "model.tar.gz", {"x.pb": np.random.default_rng(0).bytes(100_000)}))
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(deeplab.UserError, match="damaged archive"):
        sources.read(str(path))
