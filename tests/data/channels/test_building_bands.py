"""What the builder makes of images beyond RGB of 8 bits: stored with all bits, told, or refused with the way out."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab.config.builders import ChannelsConfig
from deeplab.config.data import AugmentConfig
from deeplab.data import catalog, pipeline, source
from deeplab.data.building import label_rules, linter
from deeplab.data.building.bands import report
from deeplab.data.channels.facts import Channels
from deeplab.errors import UserError
from deeplab.exporting import files_in_graph
from deeplab.pictures import images
from deeplab.programs.builders import folder
from helpers import fake_data

LABEL = np.tile(np.repeat(np.arange(3, dtype=np.uint8), 8), (20, 1))  # (20, 24)
RAMP = np.arange(20 * 24).reshape(20, 24)


def build(root, pictures, bands="", value_range="", **options):
    """Builds shards of [(name, bytes or array)]; returns their folder."""
    for number, (name, content) in enumerate(pictures):
        path = root / "in" / "images" / name
        if isinstance(content, bytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        else:
            fake_data.save(content, path)
        fake_data.save(LABEL, root / "in" / "labels" / f"{name.partition('.')[0]}.png")
        assert number < 10
    words = {
        name: tuple(filter(None, text.split(","))) for name, text in (("bands", bands), ("value_range", value_range))
    }
    given = {"num_classes": 3, "num_workers": 1, "overwrite": True, **options}
    config = folder.FolderConfig(
        folder=str(root / "in"), output_dir=str(root / "shards"), channels=ChannelsConfig(**words), **given
    )
    folder.build_folder_data(config)
    return config.output_dir


def tiff(array, **options):
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, array, **{"photometric": "minisblack", **options})
    return file.getvalue()


def stored_images(shards):
    split = source.open_split(shards, "train")
    return [one["image"].numpy() for one in pipeline.eval_examples(split, as_stored=True)]


def test_the_flags_say_which_bands_and_values_are_stored(tmp_path, capsys):
    """The flags bands and value_range."""
    deep = (RAMP * 8).astype(np.uint16)
    rgba = np.stack([RAMP % 256, RAMP % 200, RAMP % 100, 255 - RAMP % 7], -1).astype(np.uint8)
    for value_range, expected in (("0,4095", (0, 4095)), ("per_image", "per_image"), ("auto", None)):
        shards = build(tmp_path / value_range, [("a.png", deep)], value_range=value_range)
        dataset = catalog.load(shards)
        assert (dataset.num_channels, dataset.bands) == (1, (1,))
        if expected is not None:
            assert dataset.value_range == expected
        np.testing.assert_array_equal(stored_images(shards)[0][..., 0], deep)
    low, high = dataset.value_range
    assert 0 <= low < 40
    assert 3780 < high <= 3832
    assert f"images: 1 channels, --bands=1 --value_range={low:g},{high:g}" in capsys.readouterr().out
    for bands, taken in (("1,2,3", rgba[..., :3]), ("4,1", rgba[..., [3, 0]]), ("all", rgba)):
        shards = build(tmp_path / bands, [("a.png", rgba)], bands=bands)
        np.testing.assert_array_equal(stored_images(shards)[0], taken)
        assert catalog.load(shards).stores_bands == (bands != "1,2,3")
    findings = linter.lint(shards, catalog.load(shards), 1)
    assert findings.problems == []
    assert findings.samples[0][1].shape == (20, 24, 3)


def test_crops_of_bands_equal_those_of_rgb(tmp_path):
    """The same pixels as RGB in a PNG, and as three bands of floats: the same crops."""
    rgb = fake_data.image(20, 24)
    plain = build(tmp_path / "plain", [("a.png", rgb)])
    bands = build(tmp_path / "bands", [("a.png", rgb)], bands="1,2,3", value_range="0,255")
    batches = pipeline.Batches((17, 17), 1, (127.5,) * 3)
    for cache in (False, True):
        streams = [
            pipeline.train_batches(source.open_split(shards, "train"), AugmentConfig(), batches, cache=cache).take(4)
            for shards in (plain, bands)
        ]
        for (image, label, _), (other, other_label, _) in zip(*streams, strict=True):
            assert (image.dtype, other.dtype) == (tf.uint8, tf.float32)
            np.testing.assert_allclose(image, other, atol=0.51)
            np.testing.assert_array_equal(label, other_label)


def rgb_tiff_with_infrared():
    four = np.stack([RAMP % 256] * 4, -1).astype(np.uint8)
    return tiff(four, photometric="rgb", extrasamples=["unspecified"], planarconfig="contig")


TOLD = {  # what loses something without flags, and the line that says so
    "16 bits": (lambda: (RAMP * 130).astype(np.uint16), "depth"),
    "a dark image of 16 bits": (lambda: RAMP.astype(np.uint16), "narrow"),
    "transparency": (lambda: np.stack([RAMP % 256] * 4, -1).astype(np.uint8), "transparency"),
    "a fourth band": (rgb_tiff_with_infrared, "bands"),
    "a second page": (lambda: tiff(np.stack([RAMP % 256] * 2).astype(np.uint8)), "pages"),
}


@pytest.mark.parametrize("kind", TOLD)
def test_what_is_lost_is_told_with_the_flag_that_helps(kind, tmp_path, capsys):
    make, key = TOLD[kind]
    content = make()
    name = "a.tif" if isinstance(content, bytes) else "a.png"
    shards = build(tmp_path, [(name, content)])
    said = capsys.readouterr().out
    text, way_out = report.TOLD[key]
    assert f"warning: 1 image has {text}; {way_out} (a)" in said
    assert catalog.load(shards) == catalog.Dataset(**{**vars(catalog.load(shards)), "num_channels": 3})
    if key not in ("transparency", "pages"):  # the way out is one
        flags = {"depth": {"value_range": "auto"}, "narrow": {"value_range": "auto"}, "bands": {"bands": "all"}}[key]
        build(tmp_path / "again", [(name, content)], **flags)
        assert "warning" not in capsys.readouterr().out


def test_plain_images_are_stored_as_they_are_and_nothing_is_told(tmp_path, capsys):
    file = io.BytesIO()
    Image.fromarray(fake_data.image(20, 24)).save(file, "JPEG")
    shards = build(tmp_path, [("a.jpg", file.getvalue()), ("b.png", fake_data.image(20, 24))])
    assert "warning" not in capsys.readouterr().out
    assert not {"num_channels", "bands", "value_range"} & set(
        (tmp_path / "shards" / "dataset.json").read_text().split('"')
    )
    first = next(iter(tf.data.TFRecordDataset(tf.io.gfile.glob(f"{shards}/train*")))).numpy()
    assert file.getvalue() in first


REFUSED = {
    "five bands": (
        lambda: tiff(np.zeros((20, 24, 5), np.uint16), planarconfig="contig"),
        {},
        "a TIFF of 5 bands.*--bands",
    ),
    "floats": (lambda: tiff(np.zeros((20, 24), np.float32)), {}, "type float32.*--value_range=auto"),
    "16 bits without a range": (
        lambda: RAMP.astype(np.uint16),
        {"bands": "1"},
        "values of 16 bits.*--value_range=auto",
    ),
    "a band that is not there": (
        lambda: RAMP.astype(np.uint8),
        {"bands": "1,2"},
        "it has 1 band, and bands=1,2 asks for",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_meaning_is_refused_with_the_way_out(kind, tmp_path):
    make, flags, message = REFUSED[kind]
    content = make()
    with pytest.raises(UserError, match=message):
        build(tmp_path, [("a.tif" if isinstance(content, bytes) else "a.png", content)], **flags)
    assert not list((tmp_path / "shards").glob("*.tfrecord"))


def test_ranges_that_do_not_fit_are_told(tmp_path, capsys):
    for value_range, key in (("0,200", "clipped"), ("0,60000", "narrow_in_range")):
        build(tmp_path / key, [("a.png", RAMP.astype(np.uint16))], value_range=value_range)
        assert report.TOLD[key][1] in capsys.readouterr().out


def test_images_of_a_build_have_the_bands_of_the_first(tmp_path):
    pictures = [("a.png", RAMP.astype(np.uint16)), ("b.png", fake_data.image(20, 24))]
    with pytest.raises(UserError, match="it has 1 band, and bands=1,2,3 asks for band 3"):
        build(tmp_path, pictures[:1], bands="1,2,3", value_range="auto")
    shards = build(tmp_path, pictures, value_range="0,255")  # the first band of the second one
    assert [image.shape for image in stored_images(shards)] == [(20, 24, 1)] * 2


def test_more_images_need_the_same_bands_and_auto_keeps_the_range(tmp_path):
    pictures = [("a.png", (RAMP * 8).astype(np.uint16))]
    before = catalog.load(build(tmp_path, pictures, value_range="auto"))
    more = {"append": True, "overwrite": False}
    (tmp_path / "in" / "images" / "a.png").unlink()
    (tmp_path / "in" / "labels" / "a.png").unlink()
    after = catalog.load(build(tmp_path, [("b.png", RAMP.astype(np.uint16))], value_range="auto", **more))
    assert (after.value_range, after.splits) == (before.value_range, {"train": 2})
    with pytest.raises(UserError, match=r"has value_range=.*this build"):
        build(tmp_path, [("b.png", RAMP.astype(np.uint16))], value_range="0,9", **more)


@pytest.mark.parametrize(
    ("bands", "value_range"),
    [("0", ""), ("1,x", ""), ("", "5,5"), ("", "1"), ("", "often"), ("1,2", "0,1,0,1,0,1"), ("", "0,nan")],
)
def test_nonsense_is_refused(bands, value_range):
    words = {
        name: tuple(filter(None, text.split(","))) for name, text in (("bands", bands), ("value_range", value_range))
    }
    with pytest.raises(UserError, match=r"bands=|value_range="):
        ChannelsConfig(**words)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_laid_on_white_by_builders_predict_and_exports_alike(mode, tmp_path):
    rng = np.random.default_rng(0)
    bands = {"RGBA": (4,), "LA": (2,), "P": ()}[mode]
    picture = Image.fromarray(rng.integers(0, 256, (20, 24, *bands), np.uint8))
    options = {}
    if mode == "P":
        picture.putpalette(rng.integers(0, 256, 768, np.uint8).tolist())
        options["transparency"] = 7
    path = tmp_path / "image.png"
    picture.save(path, **options)
    content = path.read_bytes()
    seen = images.open_picture(str(path)).pixels  # predict, Segmenter and the server
    built = label_rules.stored_image(content)
    np.testing.assert_array_equal(np.asarray(label_rules.open_image(built.data)), seen)
    in_graph = tf.function(lambda data: files_in_graph.decode(data, Channels()))
    np.testing.assert_array_equal(in_graph(tf.constant(content)), seen)
    if mode == "RGBA":  # bands that are named are taken as they are stored, in all three
        named = Channels(bands=(1, 2, 3, 4), num_channels=4)
        np.testing.assert_array_equal(files_in_graph.decode(tf.constant(content), named), np.asarray(picture))


def test_exports_decode_the_same_values_as_predict(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (6, 8, 3)).astype(np.uint16)
    content = {"png": tf.io.encode_png(deep).numpy(), "jpeg": tf.io.encode_jpeg((deep // 256).astype(np.uint8)).numpy()}
    for channels in (Channels(value_range=(0, 4095)), Channels(bands=(1,), num_channels=1, value_range=(0, 9))):
        assert files_in_graph.can_decode(channels)
        decoded = files_in_graph.decode(tf.constant(content["png"]), channels)
        np.testing.assert_array_equal(decoded, deep[..., : channels.num_channels])
        assert files_in_graph.decode(tf.constant(content["jpeg"]), channels).dtype == tf.float32
    assert not files_in_graph.can_decode(Channels(bands=(4, 3, 2)))
