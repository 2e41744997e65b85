"""Writes one small valid file of every kind that the project reads."""

import json
import tarfile

import numpy as np
import tensorflow as tf

from deeplab.checkpoints import bundle
from deeplab.config.model import ModelConfig
from deeplab.data import catalog, tfrecord
from deeplab.files import manifest
from deeplab.inference import export_folder
from deeplab.training import run_folder

KERNEL = np.arange(54, dtype=np.float32).reshape(3, 3, 2, 3)
PREFIX = "model.ckpt-5"


def write(folder):
    """Writes the files of all kinds into `folder`, a path; returns nothing."""
    for make in (_checkpoint, _archive, _frozen_graph, _tflite, _hdf5, _saved_models, _json_files, _shard):
        make(folder)


def _checkpoint(folder):
    values = {"aspp0/weights": KERNEL, "aspp0/BatchNorm/beta": np.zeros(3, np.float32), "global_step": np.int64(5)}
    for place in ("index", "data", "state"):
        bundle.write(str(folder / place / PREFIX), values | {"logits/biases": np.ones(3, np.float32)})
    parts = str(folder / "parts" / PREFIX)  # a variable in two parts, and texts
    bundle.write(parts, {"removed": np.int64(0)})
    tf.raw_ops.SaveV2(
        prefix=parts,
        tensor_names=["logits/weights", "logits/weights", "texts"],
        shape_and_slices=["3 3 2 3 0,1:-:-:-", "3 3 2 3 1,2:-:-:-", ""],
        tensors=[KERNEL[:1], KERNEL[1:], np.array(["abc", "x" * 200])],
    )


def _archive(folder):
    (folder / "archive").mkdir()
    with tarfile.open(folder / "archive" / "model.tar.gz", "w:gz", compresslevel=1) as tar:
        for path in sorted((folder / "index").iterdir()):
            tar.add(path, f"published/{path.name}")


def _frozen_graph(folder):
    (folder / "frozen_graph").mkdir()
    graph = tf.Graph()
    with graph.as_default():
        for name, value in {"aspp0/weights": KERNEL, "aspp0/BatchNorm/beta": np.zeros(3, np.float32)}.items():
            tf.constant(value, name=name)
    (folder / "frozen_graph" / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())


def _tflite(folder):
    """Graphs of one convolution: of float32, and quantized with a scale for each channel."""
    kernel, bias = KERNEL.transpose(3, 0, 1, 2), np.ones(3, np.float32)
    _write_tflite(folder / "tflite", kernel, bias)
    _write_tflite(folder / "quantized", kernel.astype(np.int8), bias.astype(np.int32), scales=[0.5, 1.0, 2.0])


def _write_tflite(folder, kernel, bias, scales=()):
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    folder.mkdir()
    kinds = {np.dtype(np.float32): 0, np.dtype(np.int32): 2, np.dtype(np.int8): 9}
    constants = {"aspp0/weights": kernel, "aspp0/biases": bias}
    shapes = {"image": [1, 9, 9, 2], **{name: list(value.shape) for name, value in constants.items()}}
    shapes["aspp0/Conv2D"] = [1, 9, 9, 3]
    graph, model, operator, code = schema.SubGraphT(), schema.ModelT(), schema.OperatorT(), schema.OperatorCodeT()
    graph.tensors = []
    for name, shape in shapes.items():
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, shape, 0
        if name in constants:
            tensor.buffer = 1 + list(constants).index(name)
            tensor.type = kinds[constants[name].dtype]
            if scales:
                tensor.quantization = schema.QuantizationParametersT()
                tensor.quantization.scale, tensor.quantization.zeroPoint = list(scales), [0] * len(scales)
        graph.tensors.append(tensor)
    operator.inputs, operator.outputs = [0, 1, 2], [3]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    graph.operators, model.subgraphs, model.operatorCodes, model.version = [operator], [graph], [code], 3
    contents = [b"", *(value.tobytes() for value in constants.values())]
    model.buffers = [schema.BufferT() for _ in contents]
    for buffer, content in zip(model.buffers, contents, strict=True):
        buffer.data = np.frombuffer(content, np.uint8)
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    (folder / "graph.tflite").write_bytes(bytes(builder.Output()))


def _hdf5(folder):
    import h5py

    (folder / "hdf5").mkdir()
    with h5py.File(folder / "hdf5" / "weights.h5", "w") as file:
        file["Conv1/Conv1/kernel:0"] = KERNEL
        for name in ("gamma:0", "beta:0"):
            file[f"bn_Conv1/bn_Conv1/{name}"] = np.ones(3, np.float32)


class _Strongest(tf.Module):
    """A SavedModel: labels are the strongest of the channels of a convolution."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(np.ones((3, 3, 3, 3), np.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
    def labels(self, images):
        logits = tf.nn.conv2d(tf.cast(images, tf.float32), self.kernel, 1, "SAME")
        return {"labels": tf.argmax(logits, -1, output_type=tf.int32)}


def _saved_models(folder):
    """An export with the record of its files, and one without, as other programs write it."""
    module = _Strongest()
    for place in ("saved_model", "foreign"):
        tf.saved_model.save(module, str(folder / place), signatures={"serving_default": module.labels})
    card = json.dumps(_card() | {"files": manifest.describe(str(folder / "saved_model"))})
    (folder / "saved_model" / export_folder.CARD_FILE).write_text(card)


def _json_files(folder):
    for place in ("config", "dataset", "card", "predicted", "flags"):
        (folder / place).mkdir()
    run_folder.write_config(str(folder / "config"), ModelConfig(atrous_rates=(6, 12)), {"run": {"steps": 3}}, (65, 97))
    catalog.save(catalog.CATALOG["camvid"], str(folder / "dataset"))
    (folder / "card" / export_folder.CARD_FILE).write_text(export_folder.CARD.text(_card()))
    record = {"settings": {"a": 1}, "files": {"/in/a.jpg": {"name": "a", "size": 3, "modified": 4}}}
    (folder / "predicted" / "predict.json").write_text(json.dumps({"format": 1, **record}))
    flags = "--checkpoint_dir=run\n--input=images\n--output=results\n--eval_scales=0.5,1.0\n--num_classes=21\n"
    (folder / "flags" / "flags.txt").write_text(flags)


def _card():
    return {
        **{"config": {"model_variant": "mobilenet_v2", "output_stride": 8}, "classes": ["a", "b"], "colors": []},
        **{"checkpoint": "model.ckpt-5", "step": 5, "crop_size": [65, 65], "inference_scales": [1.0]},
        **{"add_flipped_images": False, "resize": {"min_resize_value": None, "resize_factor": None}},
        "input_size": {"rule": "auto", "trained_size": [65, 65], "fit_into": [65, 65], "longer_than": 97},
    }


def _shard(folder):
    """Two images, a JPEG and a PNG, with labels."""
    path = folder / "shard"
    path.mkdir()
    catalog.save(catalog.Dataset("fuzz", 3, splits={"train": 2}), str(path))
    label = tf.io.encode_png(np.eye(9, 12, dtype=np.uint8)[..., np.newaxis]).numpy()
    with tf.io.TFRecordWriter(str(path / tfrecord.shard_name("train", 0, 1))) as writer:
        for name, encode in (("jpeg", tf.io.encode_jpeg), ("png", tf.io.encode_png)):
            image = encode(np.arange(9 * 12 * 3, dtype=np.uint8).reshape(9, 12, 3)).numpy()
            writer.write(tfrecord.serialize(tfrecord.Example(name, image, name, label, 9, 12)))
