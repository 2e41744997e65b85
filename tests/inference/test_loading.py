"""How exports are opened: without copies of their weights, and only if TensorFlow's loader is not needed."""

import concurrent.futures
import gc
import pathlib
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.eager import context

from deeplab import processor
from deeplab.inference.saved_models import loading, shared_weights
from helpers import fake_data, small_export

_BYTES = 32 << 20  # of the constant
_MOST_COPIES = 16  # 12 are measured; TensorFlow's loader makes 20


class Table(tf.Module):
    """Adds the sum of a table to images, by a function that the functions of two signatures call."""

    def __init__(self, table):
        super().__init__()
        self._table = table

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
    def summed(self, images):
        return tf.cast(images, tf.float32) + tf.reduce_sum(self._table * tf.cast(images[0, 0, 0, 0], tf.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
    def serving_default(self, images):
        return {"sums": self.summed(images), "images": images}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.uint8, name="pixels")])
    def each(self, pixels):
        return {"sums": tf.map_fn(lambda x: self.summed(x[None, None, None, None] * tf.ones(3, tf.uint8)), pixels,
                                  fn_output_signature=tf.float32)}  # fmt: skip


def save(path, table):
    module = Table(table)
    names = ("serving_default", "each")
    tf.saved_model.save(module, str(path), signatures={name: getattr(module, name) for name in names})
    return str(path)


def test_functions_are_called_as_tensorflow_calls_them(tmp_path):
    images, pixels = tf.fill((1, 2, 3, 3), tf.constant(2, tf.uint8)), tf.constant([1, 2], tf.uint8)
    for value in (1.0, 2.0):  # functions of the same names
        path = save(tmp_path / str(value), tf.fill((5,), value).numpy())
        _signatures, functions = loading.open_saved_model(path)
        expected = tf.saved_model.load(path).signatures
        assert isinstance(functions, loading.Direct)
        for name, inputs in {"serving_default": {"images": images}, "each": {"pixels": pixels}}.items():
            results = functions.call(name, inputs)
            assert results.keys() == expected[name](**inputs).keys()
            for key, tensor in expected[name](**inputs).items():
                np.testing.assert_array_equal(results[key], tensor)
    for wrong in ({}, {"pixels": images}, {"images": tf.cast(images, tf.int32)}, {"images": images[0]}):
        with pytest.raises(TypeError):
            functions.call("serving_default", wrong)


def test_one_thread_at_a_time_prepares_a_function(tmp_path, monkeypatch):
    _signatures, functions = loading.open_saved_model(save(tmp_path / "table", tf.ones(5).numpy()))
    run, inside, most = loading._run, [], []

    def observed(function, tensors):
        inside.append(function)
        most.append(len(inside))
        time.sleep(0.2)  # as long as another thread would need to come here, too
        inside.pop()
        return run(function, tensors)

    monkeypatch.setattr(loading, "_run", observed)
    inputs = {"images": tf.zeros((1, 2, 3, 3), tf.uint8)}
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        sums = list(threads.map(lambda _: functions.call("serving_default", inputs)["sums"], range(2)))
    assert most == [1, 1]
    np.testing.assert_array_equal(*sums)


def test_functions_go_with_the_object(tmp_path):
    _signatures, functions = loading.open_saved_model(save(tmp_path, np.ones(5, np.float32)))
    names = [call.name for call in functions._calls.values()]
    assert all(context.context().has_function(name) for name in names)
    del functions
    gc.collect()
    assert not any(context.context().has_function(name) for name in names)


def test_variables_need_the_loader_of_tensorflow(tmp_path):
    _signatures, functions = loading.open_saved_model(save(tmp_path, tf.Variable(tf.ones(5))))
    assert isinstance(functions, loading.Loaded)
    assert functions.call("serving_default", {"images": tf.ones((1, 1, 1, 3), tf.uint8)})["sums"].numpy().max() == 6


def test_an_export_holds_its_weights_once(short_mobilenet, tmp_path):
    graph = saved_model_pb2.SavedModel.FromString((small_export.run(tmp_path) / "saved_model.pb").read_bytes())
    library = graph.meta_graphs[0].graph_def.library.function
    with_weights = [one.signature.name for one in library if one.ByteSize() > 500_000]
    assert len(with_weights) == 1, "each copy is loaded"
    callers = [one.signature.name for one in library if with_weights[0] in str(one)]
    assert len(callers) == 4, "itself, serving_default, bytes, reference: TensorFlow's loader copies it for each"


@pytest.mark.skipif(
    not processor.uses_onednn(), reason="TensorFlow does not use oneDNN here, for which the form is made"
)
@pytest.mark.parametrize("flags", [{}, {"input_size": "64,64", "with_logits": True}], ids=["plain", "every output"])
def test_signatures_share_weights_with_the_same_results(short_mobilenet, tmp_path, monkeypatch, flags):
    monkeypatch.setattr(shared_weights, "WORTHWHILE", 0)
    path = small_export.run(tmp_path, **flags)
    signatures, functions = loading.open_saved_model(str(path))
    expected = tf.saved_model.load(str(path))
    assert isinstance(functions, loading.Divided)
    assert not _large_constants(functions._shared._calls.values())
    shutil.rmtree(path)  # as a server's older version is, which still answers
    image = fake_data.image(70, 90)
    files = tf.constant([tf.io.encode_png(image).numpy()])
    for name, inputs in {
        "serving_default": {"images": tf.constant(image[None])},
        "reference": {"ImageTensor": tf.constant(image[None])},
        "bytes": {"image_bytes": files},
    }.items():
        results, wanted = functions.call(name, inputs), expected.signatures[name](**inputs)
        assert results.keys() == wanted.keys() == signatures[name].outputs.keys()
        for key, tensor in wanted.items():
            np.testing.assert_array_equal(results[key], tensor)


def _large_constants(calls):
    """Returns the names of the large constants in functions of the runtime, which all hold convolutions of oneDNN."""
    definitions = [context.context().get_function_def(call.name) for call in calls]
    assert all(any(node.op.startswith("_MklNative") for node in one.node_def) for one in definitions)
    return [node.name for one in definitions for node in one.node_def if shared_weights._is_large(node)]


def test_small_networks_and_other_devices_keep_their_constants(short_mobilenet, tmp_path, monkeypatch):
    path = str(small_export.run(tmp_path))
    assert isinstance(loading.open_saved_model(path)[1], loading.Direct)
    monkeypatch.setattr(shared_weights, "WORTHWHILE", 0)
    monkeypatch.setattr(shared_weights, "applies", lambda: False)
    assert isinstance(loading.open_saved_model(path)[1], loading.Direct)


def _kilobytes(name):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def test_constants_are_not_copied_for_each_function(tmp_path):
    path = save(tmp_path, tf.random.uniform((_BYTES // 4,)).numpy())
    try:
        gc.collect()
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    except OSError:
        pytest.skip("needs Linux, to measure the peak of the memory")
    before = _kilobytes("VmRSS")
    _signatures, functions = loading.open_saved_model(path)
    functions.call("serving_default", {"images": tf.ones((1, 1, 1, 3), tf.uint8)})
    assert (_kilobytes("VmHWM") - before) * 1024 / _BYTES < _MOST_COPIES
