"""One limit of pixels, with one default, in builders, predict, `Segmenter` and the server."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from deeplab.config.builders import BuildConfig
from deeplab.config.inference import PredictConfig
from deeplab.config.options import MAX_IMAGE_PIXELS
from deeplab.config.serve import ServeConfig
from deeplab.data import catalog, records
from deeplab.data.building import label_rules, worker
from deeplab.data.building.bands.rules import ImageRules
from deeplab.data.building.listing import Pair
from deeplab.data.channels.facts import Channels
from deeplab.errors import UserError
from deeplab.pictures import images
from deeplab.pictures.bands import files
from deeplab.segmenting import reading
from deeplab.serving.computing.model import check_pixels
from deeplab.serving.reading.contract import Refusal
from helpers import fake_data


def test_one_limit_of_pixels_holds_in_all_programs(tmp_path):
    """The flag max_image_pixels."""
    for config in (BuildConfig, PredictConfig, ServeConfig):
        (field,) = [one for one in dataclasses.fields(config) if one.name == "max_image_pixels"]
        assert field.default == MAX_IMAGE_PIXELS == images.MAX_PIXELS
    path = fake_data.save(np.zeros((6, 8, 3), np.uint8), tmp_path / "image.png")
    label = fake_data.save(np.zeros((6, 8), np.uint8), tmp_path / "label.png")
    refused = "8x6 pixels; more than 47 are refused"
    for most, problem in ((48, ""), (47, refused)):
        rules = label_rules.LabelRules(3, images=ImageRules(max_pixels=most))
        record = worker.make_record(Pair("image", path, label), rules)
        assert problem in record.problem
        assert bool(record.problem) == bool(problem)
    for facts in (Channels(), Channels(bands=(1,), num_channels=1)):
        assert files.open_picture(path, facts, 48).pixels.shape == (6, 8, facts.num_channels)
        assert reading.read(path, facts, 48)[0][0].pixels.shape == (6, 8, facts.num_channels)
        for read in (files.open_picture, reading.read):
            with pytest.raises(UserError, match=refused):
                read(path, facts, 47)
    assert check_pixels([[2, 6, 8, 1]], 100, 48) == 96
    with pytest.raises(Refusal, match="an image of 48 pixels; at most 47 are taken of one"):
        check_pixels([[2, 6, 8, 1]], 100, 47)
    for config in ({"output_dir": "a"}, {"saved_model": "a"}):
        owner = BuildConfig if "output_dir" in config else ServeConfig
        with pytest.raises(UserError, match="max_image_pixels=0"):
            owner(**config, max_image_pixels=0)


def test_shards_of_larger_images_are_read():
    dataset = catalog.Dataset("own", 3, largest_sizes={"train": (20_000, 20_000)})
    assert records.most_pixels(dataset) == 400_000_000
    assert records.most_pixels(catalog.Dataset("own", 3)) == MAX_IMAGE_PIXELS


def test_pillow_opens_what_is_allowed(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    file = io.BytesIO()
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(file, "TIFF")
    with pytest.raises(UserError, match="48 pixels; more than"):
        images.decode(file.getvalue(), "image")
    images.allow(96)
    assert images.decode(file.getvalue(), "image").shape == (6, 8, 3)
