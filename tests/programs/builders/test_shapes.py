"""`deeplab build shapes`: draws and builds, into the folder where the recipe quickstart looks."""

import dataclasses

import pytest

from deeplab.config.builders import BuildConfig
from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.programs.builders import scenes, shapes


def built(folder, scene_options=None, **options):
    """Builds a few small scenes; returns {name of a file of the data set: content}."""
    drawn = shapes.SceneConfig(**{"train_images": 2, "val_images": 1, "size": (32, 48), **(scene_options or {})})
    shards = BuildConfig(**{"output_dir": str(folder), "num_shards": 1, "num_workers": 1, **options})
    shapes.build_shapes(shapes.ShapesConfig(drawn, shards))
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_shards_and_drawings_lie_in_one_folder(tmp_path):
    built(tmp_path)
    dataset = catalog.load(str(tmp_path))
    assert dataset.name == "shapes"
    assert dataset.class_names == scenes.CLASSES
    assert dataset.colors == scenes.COLORS
    assert dataset.splits == {"train": 2, "val": 1}
    assert len(list((tmp_path / shapes.DRAWINGS / "images").iterdir())) == 3


def test_every_option_changes_what_is_built(tmp_path):
    plain = built(tmp_path / "plain")
    assert built(tmp_path / "again") == plain
    for name, value in {"train_images": 3, "val_images": 2, "size": (32, 33), "seed": 1}.items():
        assert built(tmp_path / name, {name: value}) != plain, name
    assert built(tmp_path / "output_dir", num_shards=2) != plain
    with pytest.raises(UserError, match=r"output_dir=.*has a data set already; --overwrite replaces it"):
        built(tmp_path / "plain", {"seed": 2})
    assert built(tmp_path / "plain", {"seed": 1}, overwrite=True) == built(tmp_path / "fresh", {"seed": 1})


def test_nothing_is_drawn_over_a_data_set(tmp_path):
    built(tmp_path)
    drawing = tmp_path / shapes.DRAWINGS / "images" / "scene_0000.jpg"
    before = drawing.read_bytes()
    with pytest.raises(UserError):
        built(tmp_path, {"seed": 2})
    assert drawing.read_bytes() == before


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"size": (32,)}, {"size": (31, 32)}, {"val_images": 0}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(UserError, match=f"^{next(iter(wrong))}="):
        shapes.SceneConfig(**wrong)


def test_the_default_folder_is_that_of_the_recipe():
    shards = shapes.ShapesConfig().shards
    assert shards.output_dir == shapes.OUTPUT_DIR
    assert {field.name for field in dataclasses.fields(shards)} >= {"num_shards", "num_workers"}
