"""Pictures of a split: one an image, ids as the network gives them."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import deeplab
from deeplab.config.data import ResizeConfig
from deeplab.config.inference import VisConfig
from deeplab.data import catalog, pipeline, source, tfrecord
from deeplab.evaluation import batches
from deeplab.programs import draw
from deeplab.vis import visualize
from helpers import fake_data, small_training

pytestmark = pytest.mark.usefixtures("short_mobilenet")


def config(tmp_path, **changes):
    paths = {"checkpoint_dir": small_training.logdir(), "dataset_dir": small_training.shards()}
    return VisConfig(**{**paths, "vis_logdir": str(tmp_path), **changes})


@pytest.mark.slow
def test_panels_and_ids_keep_the_file_names(tmp_path):
    visualize(config(tmp_path, max_images=3, vis_batch_size=2, also_save_raw_predictions=True))
    names = [f"img_{i}.png" for i in range(3)]
    assert sorted(path.name for path in (tmp_path / "segmentation_results").iterdir()) == names
    assert sorted(path.name for path in (tmp_path / "raw_segmentation_results").iterdir()) == names
    model = deeplab.load(small_training.logdir()).model
    examples = pipeline.eval_examples(source.open_split(small_training.shards(), "val"), dct_method=batches.DCT_METHOD)
    for example in examples.take(3):
        name = f"{example['filename'].numpy().decode()}.png"
        with Image.open(tmp_path / "raw_segmentation_results" / name) as ids:
            expected = deeplab.predict_labels(model, example["image"][None])[0][0]
            np.testing.assert_array_equal(np.asarray(ids), expected)
        with Image.open(tmp_path / "segmentation_results" / name) as panel:
            assert panel.width > 5 * 64
            assert panel.height > 48


@pytest.mark.slow
def test_pictures_have_the_size_of_the_images_though_the_network_sees_them_resized(tmp_path):
    visualize(config(tmp_path, max_images=1, resize=ResizeConfig(33, 65, 16), also_save_raw_predictions=True))
    with Image.open(tmp_path / "raw_segmentation_results" / "img_0.png") as ids:
        assert ids.size == (64, 48)
    with Image.open(tmp_path / "segmentation_results" / "img_0.png") as panel:
        assert panel.width > 5 * 64


def test_servers_get_the_ids_and_colors_they_ask_for():
    labels = np.array([[0, 18], [13, 1]])
    ids, palette = draw.server_ids(labels, catalog.CATALOG["cityscapes"])
    assert ids.tolist() == [[7, 33], [26, 8]]
    assert palette is None
    ids, palette = draw.server_ids(labels, catalog.CATALOG["pascal_voc_seg"])
    assert ids.tolist() == labels.tolist()
    assert palette[[0, 1, 15, 255]].tolist() == [[0, 0, 0], [128, 0, 0], [192, 128, 128], [224, 224, 192]]
    assert draw.server_ids(labels, catalog.CATALOG["ade20k"])[1] is None
    ids, palette = draw.server_ids(labels, small_training.dataset())
    assert (ids.tolist(), palette[1].tolist()) == (labels.tolist(), [200, 30, 30])
    assert draw.server_ids(labels, catalog.CATALOG["cityscapes"], class_ids=True)[0].tolist() == labels.tolist()
    own = dataclasses.replace(small_training.dataset(), source_ids=(0, 7, 300))
    ids, palette = draw.server_ids(np.array([[0, 1, 2]]), own)
    assert (ids.tolist(), palette) == ([[0, 7, 300]], None)
    assert draw.server_ids(np.array([[0, 1, 2]]), own, class_ids=True)[0].tolist() == [[0, 1, 2]]


@pytest.mark.slow
def test_voc_ids_are_palette_images_named_like_the_files(tmp_path):
    """File names in the records may have folders and suffixes: those of the reference's Cityscapes shards do."""
    folder = pathlib.Path(fake_data.shards(tmp_path, {"val": 1}))
    dataset = dataclasses.replace(catalog.load(str(folder)), name="pascal_voc_seg")
    catalog.save(dataset, str(folder))
    shard = sorted(folder.glob("val-*"))[0]
    image, label = (tmp_path / "val" / path for path in ("images/img_0.jpg", "labels/img_0.png"))
    content = image.read_bytes(), "jpeg", label.read_bytes()
    example = tfrecord.Example("street/a_000001.png", *content, 48, 64)
    with tf.io.TFRecordWriter(str(shard)) as writer:
        writer.write(tfrecord.serialize(example))
    visualize(config(tmp_path, dataset_dir=str(folder), also_save_raw_predictions=True))
    with Image.open(tmp_path / "raw_segmentation_results" / "street" / "a_000001.png") as ids:
        assert ids.mode == "P"
        assert ids.getpalette()[3:6] == [128, 0, 0]
        assert np.asarray(ids).max() <= 2
    assert (tmp_path / "segmentation_results" / "street" / "a_000001.png").exists()


@pytest.mark.slow
def test_another_color_map_may_be_chosen(tmp_path):
    visualize(config(tmp_path, max_images=1, colormap_type="cityscapes"))
    with Image.open(tmp_path / "segmentation_results" / "img_0.png") as panel:
        colors = {color for _count, color in panel.getcolors(2**20)}
    assert (128, 64, 128) in colors  # road


def test_bad_input_is_one_line(tmp_path):
    with pytest.raises(deeplab.UserError, match="max_images=0"):
        config(tmp_path, max_images=0)
    with pytest.raises(deeplab.UserError, match="split 'test' does not exist"):
        visualize(config(tmp_path, vis_split="test"))
