"""Finding and opening exports, with a SavedModel of a few operations in place of a network."""

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.config.export import FORMATS
from deeplab.data import catalog
from deeplab.exporting import formats
from deeplab.files import limited, manifest
from deeplab.inference import export_folder, exports
from deeplab.inference.saved_models import trial
from helpers.cards import CARD

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)


class Strongest(tf.Module):
    """Labels are the strongest colour; images have one size, those of `reference` any size."""

    @tf.function(input_signature=[tf.TensorSpec((None, 4, 6, 3), tf.uint8, name="images")])
    def serving_default(self, images):
        shift = tf.reshape(tf.range(24.0), (4, 6, 1))  # fits no other size, which TensorFlow itself does not check
        return {"labels": tf.argmax(tf.cast(images, tf.float32) + shift, -1, output_type=tf.int32)}

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), tf.uint8, name=exports.REFERENCE_INPUT)])
    def reference(self, ImageTensor):
        labels, probabilities = tf.argmax(ImageTensor, -1, output_type=tf.int32), tf.cast(ImageTensor, tf.float32)
        return {exports.REFERENCE_LABELS: labels, exports.REFERENCE_PROBABILITIES: probabilities / 255}


def save(path, *names):
    module = Strongest()
    tf.saved_model.save(module, str(path), signatures={name: getattr(module, name) for name in names})
    return str(path)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Children that open SavedModels first would each import TensorFlow; one test below is about them."""
    monkeypatch.setattr(limited, "run", lambda module, arguments, memory, seconds: trial._trial(*arguments))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An --export_path with version 2, an unfinished version 10 and what is no version."""
    folder = tmp_path_factory.mktemp("exports")
    save(folder / "2", "serving_default", "reference")
    (folder / "10").mkdir()
    (folder / "unfinished-3").mkdir()
    return folder


def test_the_newest_complete_version_is_found(folder, tmp_path):
    expected = export_folder.Version(str(folder / "2"), 2)
    assert export_folder.find(str(folder)) == export_folder.find(f"{folder}/2/") == expected
    assert export_folder.versions(str(folder)) == [2, 10]
    assert export_folder.next_path(str(folder)) == str(folder / "11")
    with pytest.raises(deeplab.UserError, match=r"--saved_model=.*: no SavedModel there; name an --export_path or DIR"):
        export_folder.find(str(tmp_path))


def test_an_export_segments(folder):
    export = exports.load(str(folder / "2"), required=("serving_default",))
    np.testing.assert_array_equal(export.segment(IMAGE), IMAGE.argmax(-1))
    labels, probabilities = export.segment_with_probabilities(IMAGE)
    np.testing.assert_array_equal(labels, IMAGE.argmax(-1))
    np.testing.assert_allclose(probabilities, IMAGE / 255, atol=1e-6)
    outputs = export.run("serving_default", {"images": IMAGE[None]})
    np.testing.assert_array_equal(outputs["labels"], IMAGE.argmax(-1)[None])
    with pytest.raises(deeplab.UserError, match="does not take an image of 6x6 pixels"):
        export.segment(np.zeros((6, 6, 3), np.uint8))


def test_signatures_tell_types_and_shapes(folder):
    signature = exports.load(str(folder / "2")).signatures["serving_default"]
    images, labels = signature.inputs["images"], signature.outputs["labels"]
    assert (images.dtype, images.dtype_name, images.shape) == (np.uint8, "DT_UINT8", (None, 4, 6, 3))
    assert images.tensor == "serving_default_images:0"
    assert (labels.dtype, labels.dtype_name, labels.shape) == (np.int32, "DT_INT32", (None, 4, 6))


def test_what_is_missing_is_one_line(tmp_path, monkeypatch):
    path = save(tmp_path / "1", "reference")
    assert exports.load(path).has_probabilities
    with pytest.raises(deeplab.UserError, match="without the signature serving_default"):
        exports.load(path, required=("serving_default",))
    assert not exports.load(save(tmp_path / "2", "serving_default")).has_probabilities
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"no graph")
    monkeypatch.setattr(limited, "run", lambda *arguments: None)
    with pytest.raises(deeplab.UserError, match="1: not a SavedModel") as error:
        exports.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", [None, "no json", "[]", "{}"])
def test_a_card_that_cannot_be_read(folder, tmp_path, text):
    path = save(tmp_path / "1", "serving_default")
    if text is not None:
        (tmp_path / "1" / export_folder.CARD_FILE).write_text(text)
    with pytest.raises(deeplab.UserError, match=r"model\.json: not the card of an export"):
        export_folder.read_card(path)
    if text is None:  # a SavedModel of another program
        assert exports.load(path).card == {}
    else:
        with pytest.raises(deeplab.UserError, match=r"model\.json: not the card of an export"):
            _card = exports.load(path).card


def test_card_and_data_set(tmp_path):
    path = save(tmp_path / "1", "serving_default")
    (tmp_path / "1" / export_folder.CARD_FILE).write_text(export_folder.CARD.text(CARD))
    export = exports.load(path)
    assert export.card == export_folder.read_card(path) == {"format": 1, **CARD}
    assert export.dataset("camvid").class_names == ("a",)  # the names come from the export
    catalog.save(catalog.Dataset("fake", 3), path)
    assert export.dataset("camvid").name == "fake"


def test_an_export_that_is_not_as_it_was_written_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "1", "serving_default")
    card = export_folder.CARD.text({**CARD, "files": manifest.describe(path)})
    (tmp_path / "1" / export_folder.CARD_FILE).write_text(card)
    monkeypatch.setattr(limited, "run", None)  # no child opens what is as it was written
    exports.load(path)
    weights = tmp_path / "1" / "variables" / "variables.index"
    content = weights.read_bytes()
    changes = {"has [0-9]+ bytes": content[:-1], "other contents": content[:-1] + b"x", "missing": None}
    for how, changed in changes.items():
        weights.unlink() if changed is None else weights.write_bytes(changed)
        with pytest.raises(deeplab.UserError, match=f"1 is not whole: .*{how}") as error:
            exports.load(path)
        assert "\n" not in str(error.value)


def test_a_child_opens_what_others_wrote_first(tmp_path, monkeypatch):
    path, asked = save(tmp_path / "1", "serving_default"), []

    def run(module, arguments, memory, seconds):
        asked.append((module, arguments))
        raise limited.Failed("it ended with SIGABRT")

    monkeypatch.setattr(limited, "run", run)
    monkeypatch.setattr(trial, "_tried", set())
    with pytest.raises(deeplab.UserError, match=r"1: not a SavedModel .*\(it ended with SIGABRT\)") as error:
        exports.load(path)
    assert "\n" not in str(error.value)
    assert asked == [("deeplab.inference.saved_models.trial", [path])]
    trial._trial(path)  # what the child does


def test_every_format_has_a_module():
    assert tuple(formats.FORMATS) == FORMATS
