"""What `Segmenter`, predict and engines for one size make of images that are not RGB of 8 bits."""

import numpy as np
import pytest
from PIL import Image

from deeplab.data import catalog
from deeplab.data.channels.facts import Channels
from deeplab.data.channels.value_range import to_pixels
from deeplab.errors import UserError
from deeplab.pictures.bands import files
from deeplab.segmenting import engines, reading

DEEP = np.random.default_rng(0).integers(0, 4096, (6, 8)).astype(np.uint16)
GREY = Channels(num_channels=1, bands=(1,), value_range=(0, 4095))


def test_files_arrays_and_pillow_images_give_the_same_values(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(DEEP).save(path)
    for source in (path, path.read_bytes(), Image.open(path), DEEP, DEEP[..., None], DEEP.astype(np.float32)):
        ((picture,), several) = reading.read(source, GREY)
        assert (picture.pixels.dtype, several) == (np.float32, False)
        np.testing.assert_array_equal(picture.pixels[..., 0], DEEP)
    for wrong, message in (
        (np.zeros((6, 8, 3)), r"\(H, W, 1\)"),
        (np.full((6, 8), np.nan), "finite numbers"),
        (np.full((6, 8), "a"), "finite numbers"),
    ):
        with pytest.raises(UserError, match=message):
            reading.read(wrong, GREY)
    with pytest.raises(UserError, match="1 channels of uint16; the network takes uint8"):
        files.open_picture(str(path), Channels(num_channels=1, bands=(1,)))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=r"deep\.png: "):
        files.open_picture(str(path), GREY)


def test_videos_are_for_networks_of_rgb():
    with pytest.raises(UserError, match=r"film\.mp4: .* takes 1 channels with a range of values"):
        files.refuse_video("film.mp4", GREY)
    files.refuse_video("film.mp4", Channels(bands=(1, 2, 3)))


@pytest.mark.parametrize("value_range", [(0, 4095), "per_image"])
def test_engines_for_one_size_pad_by_what_becomes_grey(value_range):
    """An image is padded with values, not pixels, before the graph brings values to their range."""
    seen = []

    def run(images):
        seen.append(to_pixels(images, value_range))
        return np.zeros(images.shape[:3], np.int32)

    card = {"config": {"model_variant": "mobilenet_v2", "crop_size": (9, 10)}, "crop_size": (9, 10)}
    dataset = catalog.Dataset("own", 3, num_channels=1, bands=(1,), value_range=value_range)
    labels = engines._OneSize(run, card, False, dataset)(DEEP[..., None])
    assert labels.shape == (6, 8)
    np.testing.assert_allclose(seen[0][0, 6:], 127.5, rtol=1e-5)
    np.testing.assert_allclose(seen[0][0, :6, :8], to_pixels(DEEP[..., None], value_range), rtol=1e-5)
