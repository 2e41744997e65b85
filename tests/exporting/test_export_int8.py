"""int8 in TFLite and OpenVINO: which operations compute in it, and with which scales."""

import importlib.util
import sys
import types
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import deeplab
from deeplab import devices
from deeplab.benchmarks.export import write_weights
from deeplab.exporting.formats import FORMATS, float_parts, trial_images
from deeplab.layers.batch_norm import BatchNorm
from deeplab.model.names import reference_name
from deeplab.model.views import layers_of
from helpers import fake_data, small_export, small_training
from helpers.places import ROOT

SIZE = (65, 65)
PACKAGES = {"tflite": ("ai_edge_litert",), "openvino": ("openvino", "nncf")}

pytestmark = pytest.mark.usefixtures("short_mobilenet")


def settled_network(folder):
    """Writes a train_logdir whose features are as those of a trained network: neither tiny nor cut off by ReLU6."""
    config = deeplab.ModelConfig(
        num_classes=small_training.CLASSES, depth_multiplier=0.25, output_stride=16, decoder_output_stride=(4,)
    )
    devices.set_seed(0)
    model = deeplab.build_model(config, (*SIZE, 3))
    images = np.stack([fake_data.image(*SIZE, seed) for seed in range(4)])
    for layer in layers_of(model).values():
        if isinstance(layer, BatchNorm):
            layer.momentum = 0.0  # the moving averages become the moments of this batch
    model(images, training=True)
    kernel, bias = layers_of(model)["logits.semantic"].weights
    kernel.assign(np.random.default_rng(0).normal(0, 1, kernel.shape))
    bias.assign(-np.mean(model(images), axis=(0, 1, 2)))  # every class shall win somewhere
    write_weights(folder, config, {reference_name(variable): variable.numpy() for variable in model.variables})
    return model


def options(kind):
    return {"format": kind, "crop_size": SIZE, "dataset_dir": small_training.shards(), "split": "val"}


@pytest.fixture(scope="module", params=PACKAGES)
def exported(request, tmp_path_factory, short_mobilenet):
    """(kind, folder of the export in int8, share of its labels that equal those of the network)."""
    kind = request.param
    for package in PACKAGES[kind]:
        pytest.importorskip(package, reason="needs the extra `export`")
    path = tmp_path_factory.mktemp("int8")
    model = settled_network(str(path / "trained"))
    more = {"checkpoint_dir": str(path / "trained"), **options(kind)}
    folder = small_export.run(path / "export", quantize="int8", **more)
    config = types.SimpleNamespace(dataset=None, **options(kind))
    images = trial_images.representative(types.SimpleNamespace(config=config, size=SIZE, loaded=small_export.loaded()))
    assert len(images) == 5
    labels, _ = deeplab.predict_labels(model, np.concatenate(images))
    segment = FORMATS[kind].reader(str(folder))
    return kind, folder, np.mean(np.concatenate([segment(image) for image in images]) == labels)


def tflite_layers(folder):
    """Yields (is it the layer of the logits, type of its weights, type of its input, number of scales)."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(folder / "model.tflite"))
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    for operation in interpreter._get_ops_details():
        if operation["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            source, kernel = (tensors[index] for index in operation["inputs"][:2])
            channels = tensors[operation["outputs"][0]]["shape"][-1]
            scales = len(kernel["quantization_parameters"]["scales"])
            yield channels == small_training.CLASSES, kernel["dtype"], source["dtype"], scales == channels


def openvino_layers(folder):
    """As `tflite_layers`."""
    layers, inputs = openvino_graph(folder)
    for number, layer in layers.items():
        if layer.get("type") in ("Convolution", "GroupConvolution"):
            source, kernel = inputs[number]
            while source.get("type") in _KEEP_THE_TYPE:
                source = inputs[source.get("id")][0]
            scales, constant = 1, kernel
            while constant.get("type") != "Const":  # int8 constant -> Convert -> Multiply by the scales [-> Reshape]
                constant, *others = inputs[constant.get("id")]
                scales = sides(others[0]) if constant.get("type") == "Convert" else scales
            type_ = {"i8": np.int8, "f32": np.float32}[constant.find("data").get("element_type")]
            channels = int(layer.findall("output/port/dim")[1].text)
            source_type = np.int8 if source.get("type") == "FakeQuantize" else np.float32
            yield channels == small_training.CLASSES, type_, source_type, np.prod(scales) == channels


# Operations that compute in int8 if their inputs are int8.
_KEEP_THE_TYPE = ("Concat", "Interpolate", "ReduceMean", "Transpose", "Reshape")


def openvino_graph(folder):
    """Returns {number: layer} and {number: [the layers of its inputs]}."""
    root = ElementTree.parse(folder / "model.xml").getroot()
    layers = {layer.get("id"): layer for layer in root.iter("layer")}
    inputs = {}
    for edge in sorted(root.iter("edge"), key=lambda edge: int(edge.get("to-port"))):
        inputs.setdefault(edge.get("to-layer"), []).append(layers[edge.get("from-layer")])
    return layers, inputs


def sides(layer):
    return [int(dim.text) for dim in layer.iterfind("output/port/dim")]


@pytest.mark.slow
def test_all_but_the_logits_compute_in_int8(exported):
    kind, folder, _same = exported
    layers = list({"tflite": tflite_layers, "openvino": openvino_layers}[kind](folder))
    assert len(layers) > 10
    in_float32 = [layer for layer in layers if layer[1] == np.float32]
    assert in_float32[-1][0]  # the logits
    assert len(in_float32) == {"tflite": 1, "openvino": 2}[kind]  # OpenVINO: the decoder's first layer, too
    for is_logits, kernel_type, source_type, per_channel in layers:
        if kernel_type == np.float32:
            assert source_type == np.float32
        else:
            assert (is_logits, kernel_type, source_type, per_channel) == (False, np.int8, np.int8, True)


@pytest.mark.slow
def test_labels_of_the_representative_images_are_those_of_the_network(exported):
    """Upsampling in int8 gave labels by chance in OpenVINO 2026.4."""
    *_export, same = exported
    assert same > 0.9


@pytest.mark.slow
def test_the_script_scores_it_on_a_data_set(exported, capsys):
    kind, folder, _same = exported
    spec = importlib.util.spec_from_file_location("score_engines", ROOT / "scripts" / "score_engines.py")
    score_engines = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(score_engines)
    score_engines.main([f"--dataset_dir={small_training.shards()}", str(folder)])
    head, row = capsys.readouterr().out.splitlines()
    assert "val of fake, 5 images" in head
    assert 0 < float(row.split()[0]) < 1
    assert row.endswith(f"({kind})")
    with pytest.raises(deeplab.UserError, match="takes images up to 65x65, the split has one of 66x40"):
        score_engines.Timed(str(folder))(np.zeros((66, 40, 3), np.uint8))
    with pytest.raises(deeplab.UserError, match=r"no export there; name DIR/VERSION"):
        score_engines.format_of(str(folder.parent))


def test_few_images_are_told(capsys):
    config = types.SimpleNamespace(dataset=None, **options("tflite"))
    trial_images.representative(types.SimpleNamespace(config=config, size=SIZE, loaded=small_export.loaded()))
    assert "warning: int8 learns its ranges from 5 images, where 32 are usual" in capsys.readouterr().err


def test_without_nncf_the_error_names_it(tmp_path, monkeypatch):
    pytest.importorskip("openvino", reason="needs the extra `export`")
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(deeplab.UserError, match=r"--format=openvino --quantize=int8 needs nncf, .*pip install nncf"):
        small_export.run(tmp_path, quantize="int8", **options("openvino"))
    assert not list(tmp_path.iterdir())


def test_a_walk_ends_at_the_layers():
    edges = {"labels": ["resize"], "resize": ["logits", "size"], "logits": ["features"], "size": []}
    found = float_parts.until_layers(["labels"], edges.get, lambda name: name == "logits")
    assert found == {"labels", "resize", "size", "logits"}
