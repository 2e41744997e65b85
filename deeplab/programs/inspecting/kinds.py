"""Recognises trainings, exports, data sets and files of weights, and tells in lines what is recorded about each."""

import dataclasses

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from deeplab.checkpoints import archive, bundle, keras_file, sources
from deeplab.config.model import PROGRAM_DEFAULTS, ModelConfig
from deeplab.config.options import from_json
from deeplab.data import catalog, tfrecord
from deeplab.errors import UserError
from deeplab.files import escaping
from deeplab.inference import export_folder, trained
from deeplab.inference.saved_models.loading import GRAPH_FILE
from deeplab.programs.inspecting import variables
from deeplab.training import best, run_folder

_WEIGHTS = (*archive.SUFFIXES, ".pb", ".tflite", ".h5", ".hdf5")
_FORMATS = {  # end of the name of a file that an export holds: its format
    GRAPH_FILE: "SavedModel",
    ".pb": "frozen graph",
    ".tflite": "TFLite",
    ".onnx": "ONNX",
    ".xml": "OpenVINO",
}
_SHOWN = 12  # names of classes and signatures in one line
_MOST_GRAPH = 512 << 20  # bytes of a saved_model.pb that is parsed


def describe(path):
    """Returns what `path` is, as text of a few lines.

    Raises:
      UserError: there is nothing, or nothing that this project reads; or a file in it is damaged.
    """
    path = path.rstrip("/") or "/"
    if tf.io.gfile.isdir(path):
        lines = _folder(path)
    elif tf.io.gfile.exists(path) or tf.io.gfile.exists(path + ".index"):
        lines = _file(path)
    else:
        raise UserError(f"{path}: no such file, folder or checkpoint")
    return escaping.terminal_lines("\n".join(lines))


def _folder(path):
    for is_kind, lines in (
        (run_folder.is_configured(run_folder.of(path)), lambda: _training(path)),
        (_versions(path), lambda: _exports(path)),
        (bundle.latest(path), lambda: _weights(path)),
        (tfrecord.all_shards(path) or tf.io.gfile.exists(tf.io.gfile.join(path, catalog.FILE)), lambda: _shards(path)),
    ):
        if is_kind:
            return lines()
    raise UserError(
        f"{path}: holds neither a training (config.json) nor an export (model.json, {GRAPH_FILE}) nor shards "
        "(*.tfrecord) nor a checkpoint (*.index)"
    )


def _file(path):
    folder = path.rpartition("/")[0] or "."
    if tf.io.gfile.exists(tf.io.gfile.join(folder, export_folder.CARD_FILE)):
        return _export(folder)
    if path.endswith(GRAPH_FILE):
        return _foreign_saved_model(folder)
    if keras_file.is_keras_file(path):
        return _keras_file(path)
    if tf.io.gfile.exists(path) and not path.endswith((*_WEIGHTS, ".index", ".meta")) and ".data-" not in path:
        raise UserError(
            f"{path}: no kind of file that this project writes or reads weights from; deeplab predict segments images"
        )
    return _weights(path)


def _training(path):
    """Returns the lines of a train_logdir, or of one of its checkpoints."""
    folder = run_folder.of(path)
    content = run_folder.read_config(folder)
    config = from_json(ModelConfig, content["model"], tf.io.gfile.join(folder, run_folder.CONFIG_FILE))
    dataset = trained.read_dataset(folder)
    lines = [f"{path}: train_logdir of a training", *_network(config)]
    lines += _classes(dataset.class_names, dataset.num_classes) if dataset else _classes((), config.num_classes)
    if content.get("trained_size"):
        lines.append("training images: at most {}x{}".format(*content["trained_size"]))
    prefixes = bundle.prefixes(folder)
    steps = ", ".join(str(bundle.step_of(prefix)) for prefix in prefixes)
    lines.append(f"checkpoints: {'steps ' + steps if prefixes else 'none'}")
    place = tf.io.gfile.join(folder, run_folder.BEST_FOLDER)
    if score := best.read_score(place):
        lines.append(f"best checkpoint: step {score['step']}, mIoU {score['mean_iou']:.4f}")
    return lines + ([f"size: {_size(_of_checkpoint(prefixes[-1]))} each"] if prefixes else [])


def _keras_file(path):
    """Returns the lines of a file that `model.save` wrote of one of our networks."""
    config, dataset = keras_file.describe(path).config, trained.dataset_of(path)
    classes = _classes(dataset.class_names, dataset.num_classes) if dataset else _classes((), config.num_classes)
    return [f"{path}: Keras file", *_network(config), *classes, f"size: {_size(tf.io.gfile.stat(path).length)}"]


def _versions(path):
    """Returns the folders of SavedModels and exports in a folder, the newest first; the folder itself counts."""
    files = (export_folder.CARD_FILE, GRAPH_FILE)
    found = [version.path for version in export_folder.candidates(path)]
    return [f for f in found if any(tf.io.gfile.exists(tf.io.gfile.join(f, name)) for name in files)]


def _exports(path):
    newest, *others = _versions(path)
    has_card = tf.io.gfile.exists(tf.io.gfile.join(newest, export_folder.CARD_FILE))
    lines = _export(newest) if has_card else _foreign_saved_model(newest)
    return lines + ([f"older versions: {', '.join(o.rpartition('/')[2] for o in others)}"] if others else [])


def _export(folder):
    """Returns the lines of one version of an export of ours."""
    card = export_folder.read_card(folder)
    config = from_json(ModelConfig, card["config"], tf.io.gfile.join(folder, export_folder.CARD_FILE))
    names = tf.io.gfile.listdir(folder)
    kind = next((kind for end, kind in _FORMATS.items() for name in names if name.endswith(end)), "unknown format")
    lines = [f"{folder}: export of this project, {kind}", *_network(config)]
    lines += [*_classes(card["classes"], config.num_classes), f"made from: {card['checkpoint']}, step {card['step']}"]
    computed = [card.get("precision"), card.get("quantize") if card.get("quantize") != "none" else None]
    lines += [f"computes in: {', '.join(filter(None, computed))}"] if any(computed) else []
    scales, flips = card["inference_scales"], ", and mirrored" if card["add_flipped_images"] else ""
    lines.append(f"passes: scales {', '.join(f'{scale:g}' for scale in scales)}{flips}")
    score = card.get("score")
    lines += [f"score: mIoU {score['miou']}" + (f" on {score['split']}" if score.get("split") else "")] if score else []
    if files := card.get("files"):
        lines.append(f"size: {_size(sum(entry['size'] for entry in files.values()))}")
    problem = export_folder.lacks(folder) if kind == "SavedModel" else ""
    return lines + ([f"not whole: {problem}"] if problem else [])


def _foreign_saved_model(folder):
    """Returns the lines of a SavedModel of another program: its functions, which are not run."""
    path = tf.io.gfile.join(folder, GRAPH_FILE)
    size = tf.io.gfile.stat(path).length
    lines = [f"{folder}: SavedModel of another program (no {export_folder.CARD_FILE})"]
    if size > _MOST_GRAPH:
        return [*lines, f"size of the graph: {_size(size)}, too large to be read"]
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    try:
        graphs = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    except Exception as error:
        raise UserError(f"{path}: not a SavedModel ({type(error).__name__}); copy it again") from None
    for graph in graphs[:_SHOWN]:
        for name, signature in sorted(graph.signature_def.items())[:_SHOWN]:
            ends = [", ".join(sorted(end)[:_SHOWN]) or "nothing" for end in (signature.inputs, signature.outputs)]
            lines.append(f"signature {name}: {ends[0]} -> {ends[1]}")
    return [*lines, f"size of the graph: {_size(size)}"]


def _shards(path):
    """Returns the lines of a folder of TFRecord shards."""
    shards = tfrecord.splits(path)
    described = tf.io.gfile.exists(tf.io.gfile.join(path, catalog.FILE))
    dataset = catalog.load(path) if described else None
    lines = [f"{path}: data set of TFRecord shards"]
    if dataset:
        lines += [f"name: {dataset.name}", *_classes(dataset.class_names, dataset.num_classes)]
        lines.append(f"ignored label: {dataset.ignore_label}")
    else:
        lines.append(f"no {catalog.FILE}: programs have to be told its name by --dataset")
    for split, files in shards.items():
        images = f"{dataset.splits[split]} images" if dataset and split in dataset.splits else "images not counted"
        largest = dataset.largest_sizes.get(split) if dataset else None
        sizes = ", at most {}x{}".format(*largest) if largest else ""
        lines.append(f"split {split}: {images}{sizes}, {len(files)} files, {_size(_bytes(files))}")
    missing = sorted(set(dataset.splits) - set(shards)) if dataset else []
    return lines + ([f"splits without files: {', '.join(missing)}"] if missing else [])


def _weights(path):
    """Returns the lines of a file with weights, by the names of its variables."""
    for suffix in (".index", ".meta"):
        path = path.removesuffix(suffix)
    if path.partition(".data-")[2] and not tf.io.gfile.isdir(path):
        path = path.partition(".data-")[0]
    folder = run_folder.of(path)
    is_prefix = tf.io.gfile.exists(path + ".index")
    if is_prefix and run_folder.is_configured(folder):
        return [f"{path}: checkpoint of step {bundle.step_of(path)} of a training", *_training(folder)[1:]]
    file = sources.read(path)
    step = [] if file.step is None else [f"step: {file.step}"]
    is_checkpoint = tf.io.gfile.exists(file.path + ".index")
    size = _of_checkpoint(file.path) if is_checkpoint else tf.io.gfile.stat(path).length
    return [f"{file.path}: {file.kind}", *variables.describe(file), *step, f"size: {_size(size)}"]


def _network(config):
    flags = variables.as_flags(config, dataclasses.replace(ModelConfig(), **PROGRAM_DEFAULTS))
    return [f"network: {' '.join(flags) or 'the defaults of train'}"]


def _classes(names, count):
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return [f"classes: {count}" + (f" ({shown})" if names else "")]


def _of_checkpoint(prefix):
    return _bytes([prefix + ".index", *tf.io.gfile.glob(prefix + ".data-*")])


def _bytes(files):
    return sum(tf.io.gfile.stat(file).length for file in files)


def _size(number):
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number / 1e3:.1f} kB"
