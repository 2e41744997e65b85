"""Small pieces of public data sets, as published: built with one command more than the folder, to the right classes."""

import numpy as np
import pytest

from deeplab.data import catalog
from helpers import odd_data
from helpers.places import SHARED

SAMPLES = SHARED / "samples"
EVERY = "class_0", "class_1", "class_2"
CVAT = ("background", "cheetah", "fox", "hyena", "lion", "tiger", "wolf")
LAND = ("building", "road", "water", "barren", "forest", "agriculture", "field")
LOVEDA = f"--class_names={','.join(LAND)} --reduce_zero_label"

pytestmark = pytest.mark.skipif(not SAMPLES.exists(), reason="../shared/samples is not here")


def build(sample, output, flags=""):
    """Builds a sample, if it is refused by the command that the message ends with; returns (`Dataset`, messages)."""
    printed, error = odd_data.build(SAMPLES / sample, output, flags)
    if error:
        pasted, again = odd_data.paste(error)
        assert again == "", error
        printed += pasted
    return catalog.load(str(output)), printed + error


@pytest.mark.parametrize(
    ("sample", "flags", "names", "present", "said"),
    [
        ("cvat_mask", "", CVAT, [0, 4], "5 of 7 classes do not occur: cheetah, fox, hyena, tiger, wolf"),
        ("jpeg_masks", "--class_names=polyp", ("background", "polyp"), [0, 1], "background comes before 'polyp'"),
        ("jpeg_masks", "", ("background", "object"), [0, 1], "--class_names=background,object"),
        ("loveda_labels_1_to_7", "", tuple(f"class_{i}" for i in range(1, 8)), [0, 1, 2, 6], "--reduce_zero_label"),
        ("loveda_labels_1_to_7", LOVEDA, LAND, [0, 1, 2, 6], "classes do not occur"),
        ("refuge_rgb_012", "", EVERY, [0, 1, 2], "--class_names=class_0,class_1,class_2"),
        ("rgb_masks_interpolated", "", EVERY, [0, 1, 2], "2.87% of the pixels"),
        ("tiff_instances", "", ("background", "object"), [0, 1], "--instances_as=object"),
        ("tiff_instances", "--instances_as=cell --border_class=edge", ("background", "cell", "edge"), [0, 1, 2], ""),
        ("voc_layout_palette", "", EVERY, [0, 1, 2], "no split is for training"),
    ],
)
def test_samples_become_the_classes_of_their_readme(sample, flags, names, present, said, tmp_path):
    dataset, messages = build(sample, tmp_path, flags)
    assert dataset.class_names == names
    (counts,) = dataset.class_histogram.values()
    assert np.flatnonzero(counts).tolist() == present
    assert said in messages


def test_what_label_files_call_the_classes_is_kept(tmp_path):
    assert build("loveda_labels_1_to_7", tmp_path / "a")[0].source_ids == (1, 2, 3, 4, 5, 6, 7)
    assert build("jpeg_masks", tmp_path / "b")[0].source_ids == (0, 255)
    dataset = build("cvat_mask", tmp_path / "c")[0]
    assert (dataset.source_ids, dataset.source_colors[4]) == ((), (32, 128, 224))
    assert build("refuge_rgb_012", tmp_path / "d")[0].source_ids == ()
