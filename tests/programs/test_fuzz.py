"""Files and requests that nobody thought of: whatever they hold, only errors come out that say what to do."""

import contextlib
import functools
import json

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import deeplab
from deeplab import cli
from deeplab.checkpoints import bundle, sources
from deeplab.config.data import ResizeConfig
from deeplab.config.inference import EvalConfig
from deeplab.config.training import TrainConfig
from deeplab.data import catalog, checksums, pipeline, records, tfrecord
from deeplab.data.building import label_rules, listing, survey, upright
from deeplab.data.building.class_lists import reading
from deeplab.data.building.masks import advice
from deeplab.data.split import Split
from deeplab.errors import UserError
from deeplab.inference import trained
from deeplab.inference.saved_models import loading
from deeplab.model.heads import dense_prediction_cell
from deeplab.pictures import images
from deeplab.serving.computing import model
from deeplab.serving.reading import contract
from deeplab.training import run_folder
from helpers import fake_data

OPTIONS = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}
fuzzed = functools.partial(settings, **OPTIONS)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def some_of(cls):
    """Objects with the keys of a dataclass, some with values that make no sense."""
    names = list(cls.__dataclass_fields__)
    return st.dictionaries(st.sampled_from([*names, "format", "other"]), JSON, max_size=5)


@contextlib.contextmanager
def refusals():
    """Lets pass what is told to the user, in a message that is not endless."""
    try:
        yield
    except UserError as error:
        too_long = len(str(error)) > 5000
        assert not too_long


def damaged(content):
    """Bytes that differ from `content` in a few places, are cut off, or have something inserted."""
    places = st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=6)

    def overwrite(changes):
        found = bytearray(content)
        for place, value in changes:
            found[place] = value
        return bytes(found)

    cut = st.integers(0, len(content) - 1).map(lambda end: content[:end])
    grown = st.tuples(st.integers(0, len(content)), st.binary(max_size=20))
    inserted = grown.map(lambda change: content[: change[0]] + change[1] + content[change[0] :])
    return places.map(overwrite) | cut | inserted | st.binary(max_size=200)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@fuzzed(max_examples=200)
@given(some_of(catalog.Dataset) | JSON)
def test_dataset_json(values):
    with refusals():
        dataset = catalog.from_json(json.dumps(values), "dataset.json")
        assert catalog.from_json(catalog.to_json(dataset), "again") == dataset
        assert dataset.class_name(0)
        catalog.label_colormap(dataset)


@fuzzed(max_examples=60)
@given(st.text())
def test_text_as_dataset_json(text):
    with refusals():
        catalog.from_json(text, "dataset.json")


@fuzzed(max_examples=150)
@given(st.builds(lambda model, rest: {"format": 1, "model": model} | rest, some_of(deeplab.ModelConfig) | JSON,
                 some_of(TrainConfig)) | JSON)  # fmt: skip
def test_config_json(place, values):
    path = place / "config.json"
    path.write_text(json.dumps(values))
    with refusals():
        config, _size = trained._read_config(str(place))
        assert config is None or config.rates is not None
    with refusals():
        run_folder.refuse_changed_options(
            str(place), {"model": {"output_stride": 16}, "training": {"loss": {"loss": "focal"}}}
        )


@fuzzed(max_examples=60)
@given(st.binary(max_size=60))
def test_bytes_as_files_of_a_training(place, content):
    for name in ("config.json", "dataset.json"):
        (place / name).write_bytes(content)
    with refusals():
        trained._read_config(str(place))
    with refusals():
        trained.read_dataset(str(place))
    with refusals():
        run_folder.refuse_changed_options(str(place), {"model": {}, "training": {}})
    (place / "dataset.json").unlink()


@fuzzed(max_examples=60)
@given(st.binary(max_size=80) | JSON.map(lambda values: json.dumps(values).encode()))
def test_files_that_name_classes_images_or_a_cell(place, content):
    for suffix in ("json", "csv", "txt", "yaml"):
        (place / f"file.{suffix}").write_bytes(content)
        with refusals():
            reading.read(str(place / f"file.{suffix}"))
    with refusals(), contextlib.suppress(UnicodeDecodeError):
        reading.read(content.decode())
    with refusals():
        listing.read_list(str(place / "file.txt"))
    with refusals():
        dense_prediction_cell.read(str(place / "file.json"))


def test_json_nested_beyond_all_limits(place):
    deep = "[" * 100_000
    for name in ("config.json", "dataset.json", "cell.json"):
        (place / name).write_text(deep)
    readers = {
        "config": lambda: trained._read_config(str(place)),
        "dataset": lambda: trained.read_dataset(str(place)),
        "logdir": lambda: run_folder.refuse_changed_options(str(place), {}),
        "classes": lambda: reading.read(str(place / "cell.json")),
        "cell": lambda: dense_prediction_cell.read(str(place / "cell.json")),
        "request": lambda: contract.parse(deep, contract.described(SIGNATURES)),
    }
    for read in readers.values():
        with pytest.raises(UserError, match=r"json|JSON"):
            read()
    for name in ("config.json", "dataset.json"):
        (place / name).unlink()


LINES = st.sampled_from(("--", "-", "--no", "--flagfile=", "--flagfile", "#", "//", "", "--undefok=", "--undefok"))
NAMES = st.sampled_from([field.name for field, _, _ in cli.all_fields(TrainConfig)]).map(lambda name: f"--{name}")
GIVEN = st.builds(
    lambda name, between, value: f"{name}{between}{value}",
    NAMES | LINES,
    st.sampled_from(("=", " ", "")),
    st.text(max_size=6) | st.integers().map(str) | st.floats().map(str),
)


@pytest.mark.slow
@fuzzed(max_examples=60)
@given(st.lists(GIVEN | LINES | st.text(max_size=8), max_size=4), st.sampled_from((TrainConfig, EvalConfig)))
def test_command_lines_and_flagfiles(place, lines, config_class):
    with refusals():
        cli.read(config_class, ["program", *lines], flags.FlagValues())
    path = place / "recipe.flags"
    path.write_text("\n".join(lines), "utf-8")
    with refusals():
        cli.read(config_class, ["program", f"--flagfile={path}"], flags.FlagValues())


@fuzzed(max_examples=40)
@given(st.binary(max_size=60))
def test_bytes_as_flagfile(place, content):
    (place / "recipe.flags").write_bytes(content)
    with refusals():
        cli.read(TrainConfig, ["program", f"--flagfile={place / 'recipe.flags'}"], flags.FlagValues())


PICTURE = fake_data.image(12, 10)
FILES = {
    "jpeg": tf.io.encode_jpeg(PICTURE).numpy(),
    "png": upright.png_bytes(PICTURE),
    "label": upright.png_bytes(fake_data.label(12, 10)),
}
RULES = (
    label_rules.LabelRules(3),
    label_rules.LabelRules(3, format="palette", lookup=label_rules.make_lookup(255, (7,))),
    label_rules.LabelRules(2, format="binary"),
    label_rules.LabelRules(2, format="rgb", colors=((0, 0, 0), (1, 2, 3)), ignore_colors=((9, 9, 9),)),
)


def put(path, content):
    path.write_bytes(content)
    return str(path)


@fuzzed(max_examples=120)
@given(st.sampled_from(sorted(FILES)).flatmap(lambda kind: damaged(FILES[kind])), st.sampled_from(RULES))
def test_images_and_labels_of_builders_and_server(place, content, rules):
    with refusals():
        labels = label_rules.read_label(content, rules)
        assert labels.dtype == np.uint8
        assert np.all((labels < rules.num_classes) | (labels == rules.ignore_label))
    seen = survey.inspect([put(place / "label.png", content)])
    assert survey.label_format(seen, 2) in label_rules.FORMATS
    assert len(survey.kinds_text(seen) + str(advice.advise(seen))) < 5000
    with refusals():
        stored, kind, *_ = label_rules.stored_image(content)
        assert stored
        assert kind in ("jpeg", "png")
    with refusals():
        claimed = contract.header(content)
        assert claimed.pixels > 10_000 or images.decode(content, "image").size <= 3 * claimed.pixels


EXAMPLE = tfrecord.serialize(tfrecord.Example("name", FILES["jpeg"], "jpeg", FILES["label"], 12, 10))
KEEPS = b"\x00" * 4  # of a checksum, which reading an index does not look at


def shard(*contents):
    parts = []
    for one in contents:
        length = len(one).to_bytes(8, "little")
        parts += [length, checksums.of_length(length).to_bytes(4, "little"), one, KEEPS]
    return b"".join(parts)


@fuzzed(max_examples=100)
@given(damaged(shard(b"one", b"", b"three" * 5)))
def test_the_index_of_a_shard(place, content):
    path = place / "train-00000-of-00001.tfrecord"
    path.write_bytes(content)
    with refusals():
        index = tfrecord.index([str(path)])
        assert all(offset + length + len(KEEPS) <= len(content) for _, offset, length in index)


@pytest.fixture(scope="module")
def read_shard(place):
    """A function that reads what the file `records.tfrecord` holds now, as evaluation does, built once."""
    path = place / "records.tfrecord"

    def examples():
        yield path.read_bytes()

    content = tf.data.Dataset.from_generator(examples, output_signature=tf.TensorSpec((), tf.string))
    one = Split(catalog.Dataset("fake", 3), "train", ("records.tfrecord",), np.zeros((1, 3), np.int64))

    class OneFile(Split):
        def record(self, number):
            return {**self.parse(content.get_single_element()), "shard": tf.constant("records.tfrecord")}

    split = OneFile(one.dataset, one.name, one.paths, one.index)
    return path, split, pipeline.eval_examples(split, ResizeConfig())


@pytest.mark.slow
@fuzzed(max_examples=30)
@given(damaged(EXAMPLE))
@hypothesis.example(EXAMPLE[:788] + b"\0" + EXAMPLE[789:])  # the file name is of no type
def test_records(read_shard, content):
    path, split, examples = read_shard
    path.write_bytes(content)
    with refusals(), records.user_errors(split):
        for example in examples:
            assert example is not None


IMAGES = loading.Spec(np.dtype(np.uint8), "DT_UINT8", (None, None, None, 3), "images")
TEXTS = loading.Spec(np.dtype(object), "DT_STRING", (None,), "image_bytes")


class Signature:
    def __init__(self, **inputs):
        self.inputs = inputs


SIGNATURES = {
    "serving_default": Signature(images=IMAGES),
    "bytes": Signature(image_bytes=TEXTS),
    "two": Signature(a=IMAGES, b=TEXTS),
}
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": st.sampled_from(("serving_default", "bytes", "two", "")) | JSON,
        "instances": JSON | st.lists(st.just({"b64": "AAAA"}) | st.just([[[1, 2, 3]]]) | JSON, max_size=3),
        "inputs": JSON | st.fixed_dictionaries({"a": JSON, "b": st.just("x") | JSON}) | st.just([[[[1, 2, 3]]]]),
    },
)


@fuzzed(max_examples=300)
@given(REQUESTS.map(json.dumps) | JSON.map(json.dumps) | st.text() | st.binary())
def test_requests_of_the_server(body):
    try:
        name, arrays, _row, sizes = contract.parse(body, contract.described(SIGNATURES))
    except contract.Refusal as refusal:
        assert 400 <= refusal.status < 500  # noqa: PT017  either answer is right
        return
    assert set(arrays) == set(SIGNATURES[name].inputs)
    assert all(array.size for array in arrays.values())
    with contextlib.suppress(contract.Refusal):
        assert model.check_pixels(sizes, 10_000) >= 0


@pytest.fixture(scope="module")
def checkpoint(place):
    prefix = str(place / "model.ckpt-3")
    bundle.write(prefix, {"a/weights": np.ones((2, 3), np.float32), "global_step": np.int64(3)})
    return prefix


@fuzzed(max_examples=60)
@given(st.data())
def test_checkpoints(place, checkpoint, data):
    for suffix in (".index", ".data-00000-of-00001"):
        path = place / f"model.ckpt-3{suffix}"
        whole = path.read_bytes()
        path.write_bytes(data.draw(damaged(whole)))
        try:
            with refusals():
                bundle.read(checkpoint)
        finally:
            path.write_bytes(whole)


@fuzzed(max_examples=40)
@given(st.sampled_from(("x.pb", "x.tflite", "x.tar.gz", "x.ckpt")), st.binary(max_size=80), st.booleans())
def test_other_files_of_weights(place, name, content, known):
    begins = {"x.tflite": b"\x1c\x00\x00\x00TFL3", "x.tar.gz": b"\x1f\x8b\x08\x00"}
    (place / name).write_bytes((begins.get(name, b"") if known else b"") + content)
    with refusals():
        sources.read(str(place / name))
