"""Pictures of a split: one an image, ids as the network gives them."""

import numpy as np
import pytest
import small_training
from PIL import Image

import deeplab
from deeplab import evaluation
from deeplab.config.inference import VisConfig
from deeplab.data import pipeline, source
from deeplab.vis import visualize

pytestmark = pytest.mark.usefixtures("short_mobilenet")


def config(tmp_path, **changes):
    paths = {"checkpoint_dir": small_training.logdir(), "dataset_dir": small_training.shards()}
    return VisConfig(**{**paths, "vis_logdir": str(tmp_path), **changes})


def test_panels_and_ids_keep_the_file_names(tmp_path):
    visualize(config(tmp_path, max_images=3, vis_batch_size=2, also_save_raw_predictions=True))
    names = [f"img_{i}.png" for i in range(3)]
    assert sorted(path.name for path in (tmp_path / "segmentation_results").iterdir()) == names
    assert sorted(path.name for path in (tmp_path / "raw_segmentation_results").iterdir()) == names
    model = deeplab.load(small_training.logdir()).model
    examples = pipeline.eval_examples(
        source.open_split(small_training.shards(), "val"), dct_method=evaluation.DCT_METHOD
    )
    for example in examples.take(3):
        name = f"{example['filename'].numpy().decode()}.png"
        with Image.open(tmp_path / "raw_segmentation_results" / name) as ids:
            expected = deeplab.predict_labels(model, example["image"][None])[0][0]
            np.testing.assert_array_equal(np.asarray(ids), expected)
        with Image.open(tmp_path / "segmentation_results" / name) as panel:
            assert panel.width > 4 * 64
            assert panel.height > 48


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
