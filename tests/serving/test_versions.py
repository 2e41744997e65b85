"""Which version is served while its files are still being copied, changed or removed."""

import functools
import json
import shutil

import pytest
import tensorflow as tf

from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.files import atomic, manifest
from deeplab.inference import export_folder, exports

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from deeplab.serving.versions import Versions
from helpers.cards import CARD


class Adder(tf.Module):
    """Labels are the red channel plus a variable."""

    def __init__(self, number):
        super().__init__()
        self.number = tf.Variable(number)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, "images")])
    def __call__(self, images):
        return {"labels": tf.cast(images[..., 0], tf.int32) + self.number}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A SavedModel with a variable, as another program writes it."""
    folder = tmp_path_factory.mktemp("saved") / "1"
    module = Adder(3)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.__call__})
    return folder


def describe(folder, names=("sky", "road"), **card):
    """Writes what export writes beside the SavedModel in a folder: dataset.json and the card, last."""
    catalog.save(catalog.Dataset("own", len(names), class_names=names), str(folder))
    content = {**CARD, "classes": names, **card}
    content.setdefault("files", manifest.describe(str(folder), leave_out=("model.json", "dataset.json")))
    atomic.write(f"{folder}/model.json", export_folder.CARD.text(content))


@pytest.fixture
def versions(saved, tmp_path, monkeypatch):
    """A folder with version 1 whole and version 2 whole, and the `Versions` that gives (number, class names)."""
    monkeypatch.setattr(manifest, "_QUIET_SECS", 0.0)
    for number in (1, 2):
        shutil.copytree(saved, tmp_path / str(number))
        describe(tmp_path / str(number), (f"sky{number}", "road"))
    return tmp_path, Versions(str(tmp_path), functools.partial(export_folder.candidates, str(tmp_path)), opened)


def opened(path, number):
    return number, exports.load(path).dataset().class_names


LATER = [  # what a copy that has stopped lacks; what it has of that file
    ("saved_model.pb", None),
    ("saved_model.pb", 0.5),
    ("model.json", 0.5),
    ("dataset.json", None),
    ("variables/variables.index", None),
    ("variables/variables.index", 0.5),
    ("variables/variables.data-00000-of-00001", None),
    ("variables/variables.data-00000-of-00001", 0.5),
]


@pytest.mark.parametrize(("name", "share"), LATER)
def test_a_version_is_served_from_when_it_is_whole(versions, name, share, capsys):
    folder, served = versions
    content = (folder / "2" / name).read_bytes()
    cut(folder / "2" / name, share)
    assert served.first() == (1, ("sky1", "road"))
    assert served.newer() is None
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert f"{folder}/2: " in said[0]
    (folder / "2" / name).write_bytes(content)
    assert served.newer() == (2, ("sky2", "road"))
    assert served.newer() is None


@pytest.mark.parametrize(("name", "share"), LATER)
def test_without_a_whole_version_the_start_says_what_is_missing(versions, name, share):
    folder, served = versions
    shutil.rmtree(folder / "1")
    cut(folder / "2" / name, share)
    with pytest.raises(UserError, match=r"is not whole|model\.json") as refused:
        served.first()
    assert name.rpartition("/")[2] in str(refused.value)
    with pytest.raises(UserError, match=name.rpartition("/")[2]) as refused:
        export_folder.find(str(folder))
    assert "\n" not in str(refused.value)


def cut(file, share):
    content = file.read_bytes()
    file.unlink()
    if share is not None:
        file.write_bytes(content[: int(share * len(content))])


def test_a_file_with_its_space_reserved_but_not_yet_copied_is_not_loaded(versions, capsys):
    folder, served = versions
    data = folder / "2" / "variables" / "variables.data-00000-of-00001"
    content = data.read_bytes()
    data.write_bytes(bytes(len(content)))
    assert served.first() == (1, ("sky1", "road"))
    assert "other contents" in capsys.readouterr().err
    with pytest.raises(UserError, match="other contents"):
        exports.load(str(folder / "2"))
    with pytest.raises(UserError, match="other contents"):
        served.newer()
    assert served.newer() is None  # it is not read again and again
    data.write_bytes(content)
    assert served.newer() == (2, ("sky2", "road"))


def test_what_changes_in_the_folder_of_the_served_version_is_noticed(versions):
    folder, served = versions
    assert served.first()[0] == 2
    describe(folder / "2", ("other", "names"))
    assert served.newer() == (2, ("other", "names"))
    content = (folder / "2" / "saved_model.pb").read_bytes()
    (folder / "2" / "saved_model.pb").write_bytes(content[:9])  # it is being written over
    assert served.newer() is None
    shutil.rmtree(folder / "2")  # whoever removes a version wants the one before
    assert served.newer() == (1, ("sky1", "road"))


def test_names_come_from_the_version_alone(saved, tmp_path):
    path = tmp_path / "1"
    shutil.copytree(saved, path)
    assert opened(str(path), 1)[1] == ()
    dataset = exports.load(str(path)).dataset()
    assert (dataset.class_name(1), dataset.name) == ("class 1", exports.UNKNOWN)  # not PASCAL's aeroplane
    assert exports.load(str(path)).dataset("camvid") is catalog.CATALOG["camvid"]  # unless the user says so
    describe(path, ("sky", "road"), colors=[[1, 2, 3], [4, 5, 6]])
    (path / "dataset.json").unlink()
    content = json.loads((path / "model.json").read_text())
    del content["files"]  # as before sizes were recorded
    (path / "model.json").write_text(json.dumps(content))
    dataset = exports.load(str(path)).dataset("camvid")
    assert (dataset.class_names, dataset.colors) == (("sky", "road"), ((1, 2, 3), (4, 5, 6)))


def test_a_savedmodel_of_another_program_is_taken_when_it_is_still(saved, tmp_path, monkeypatch):
    shutil.copytree(saved, tmp_path / "1")
    monkeypatch.setattr(manifest, "_QUIET_SECS", 1e9)
    monkeypatch.setattr("deeplab.serving.versions._START_SECS", 0.3)
    served = Versions(str(tmp_path), functools.partial(export_folder.candidates, str(tmp_path)), opened)
    with pytest.raises(UserError, match="its files are still changing"):
        served.first()
    monkeypatch.setattr(manifest, "_QUIET_SECS", 0.3)
    monkeypatch.setattr("deeplab.serving.versions._START_SECS", 60)
    assert served.first() == (1, ())


def test_nothing_at_all_is_told_in_one_line(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="no SavedModel there") as refused:
            Versions(str(folder), functools.partial(export_folder.candidates, str(folder)), opened).first()
        assert "\n" not in str(refused.value)
