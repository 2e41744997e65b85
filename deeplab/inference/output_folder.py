"""The output folder of predict: which inputs are finished, what their results are called, which network made them.

`predict.json` in the folder remembers the settings and the name of every input. With it, a later run goes on where an
earlier run stopped, gives the same input the same name again, and never mixes the results of two networks. It tells
networks and inputs apart by digests of their paths, since the folder may go to other people, see `files.places`.
"""

import collections
import json
import os
import posixpath
from typing import NamedTuple

import tensorflow as tf

from deeplab.config.results.written import PNG
from deeplab.errors import UserError
from deeplab.files import atomic, escaping, formats, paths, places
from deeplab.pictures import video

FILE = "predict.json"
_KIND = formats.Kind(
    "a record of predict",
    "name another --output",
    ("settings", "files"),
    types={"settings": dict, "files": {str: {"name": str}}},
    newest=2,  # in format 1, the files had their whole paths
    most=1 << 30,  # it names every input of all runs
)
_NETWORKS = ("checkpoint", "saved_model")  # settings that were paths in format 1
_PARTS = 2  # of their paths, such as run7/model.ckpt-500
# Endings of the names of results. FRAMES is a folder.
IDS, OVERLAY, PROBABILITIES, VIDEO, FRAMES = ".png", "_overlay.png", ".npz", ".mp4", "_frames"
PARTS, _PART = "annotation_parts", ".json"  # folder of what the annotations of single images are made of, and its files


class InputFile(NamedTuple):
    """A file to segment.

    Attributes:
      path: the file.
      folder: where its results belong below the output folder, such as "2024/may"; "" for the output folder itself.
    """

    path: str
    folder: str = ""


class Job(NamedTuple):
    """What is to be done for one input file.

    Attributes:
      path: the file.
      stem: where its results go: their paths are `stem` + IDS, `stem` + OVERLAY and so on.
      is_finished: an earlier run wrote all its results.
      image: its path below --input, such as "2024/may/x.jpg", which annotations call it by.
      part: where its part of the annotations goes.
    """

    path: str
    stem: str
    is_finished: bool
    image: str = ""
    part: str = ""


def refuse_inputs(folder, inputs):
    """Raises a UserError if `InputFile`s lie where results go, since the next run would take results for inputs."""
    results = {absolute(posixpath.join(folder, file.folder)) for file in (InputFile(""), *inputs)}
    for path, _folder in inputs:
        if posixpath.dirname(_place(path)) in results:
            raise UserError(f"--output={folder}: {path} lies in it, and results must not mix with inputs; name another")


def plan(folder, inputs, settings, config):
    """Decides which inputs are to be segmented, and writes the decision to predict.json.

    Args:
      folder: the output folder, which is created if it does not exist.
      inputs: the `InputFile`s.
      settings: {name: value} of all that the results depend on except for the input; JSON.
      config: the `PredictConfig`.

    Returns:
      A list of `Job`s, one for each input. Results of jobs that an earlier run did not finish are removed.

    Raises:
      UserError: the folder holds results that were made with other settings, and `config.overwrite` is not given.
    """
    tf.io.gfile.makedirs(folder)
    settings = json.loads(json.dumps(settings))  # tuples become lists, as they are in the file
    record = _read(folder)
    sources = {_key(file.path): file for file in inputs}
    if record["files"] and record["settings"] != settings:
        _refuse_mixing(folder, record["settings"], settings, config.overwrite)
        record["files"] = {key: entry for key, entry in record["files"].items() if key in sources}
    known = record["files"]
    homes = _homes(folder, sources, known)
    inside = {*homes.values(), *(posixpath.dirname(entry["name"]) for entry in known.values())}
    present = _present(folder, {*inside, *(posixpath.join(PARTS, name) for name in inside)})
    names = _names(sources, known, present, homes)
    entries = {key: {"name": names[key], **paths.identity(file.path)} for key, file in sources.items()}
    jobs = []
    for key, (path, inside) in sources.items():
        results = _results(path, names[key], config)
        finished = known.get(key) == entries[key] and present.issuperset(results) and not config.overwrite
        if key in known and not finished:
            _remove(folder, present.intersection(_claims(path, names[key])))
        stem, part = (tf.io.gfile.join(folder, name) for name in (names[key], _part(names[key])))
        jobs.append(Job(path, stem, finished, posixpath.join(inside, posixpath.basename(path)), part))
    content = {"settings": settings, "files": {**known, **entries}}
    atomic.write(tf.io.gfile.join(folder, FILE), _KIND.text(content))
    return jobs


def _read(folder):
    """Returns the content of predict.json, {"settings", "files"}, both empty if there is no such file."""
    path = tf.io.gfile.join(folder, FILE)
    if not tf.io.gfile.exists(path):
        return {"settings": {}, "files": {}}
    record = _KIND.read(path)
    try:
        if all(_is_below(entry["name"]) for entry in record["files"].values()):
            settings = {
                name: places.marked(value, _PARTS) if name in _NETWORKS and isinstance(value, str) else value
                for name, value in record["settings"].items()
            }
            return {
                "settings": settings,
                "files": {places.marked(key): entry for key, entry in record["files"].items()},
            }
        reason = "an input whose results lie elsewhere"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise UserError(f"{path}: not {_KIND.name} ({reason}); {_KIND.way_out}")


def _is_below(name):
    """Tells whether a name from predict.json leads nowhere else, since unfinished results of that name are removed."""
    return bool(name) and not name.startswith("/") and ".." not in name.split("/")


def _refuse_mixing(folder, before, now, overwrite):
    """Raises a UserError that names a setting which was different before; does nothing with --overwrite."""
    if overwrite:
        return
    changed = {key: value for key, value in before.items() if key not in now or now[key] != value}
    added = {key: value for key, value in now.items() if key not in before or before[key] != value}
    was = next(iter(changed), None) or next(iter(added))  # a setting that is not listed has its default
    is_now = was if was in added or not added else next(iter(added))
    raise UserError(
        f"--output={folder}: what is in it was made with {was}={changed.get(was, 'default')}, now it is "
        f"{is_now}={added.get(is_now, 'default')}; name another --output, or do these inputs again with --overwrite"
    )


def _homes(folder, sources, known):
    """Chooses the folder of the results of every folder of inputs, which has the name of the folder of inputs.

    It gets a number if there is a file of that name, or a video whose frames have that name.

    Args:
      folder: the output folder.
      sources: {key: `InputFile`}.
      known: {key: entry} from predict.json.

    Returns:
      {folder of an `InputFile`: folder below the output folder}.
    """
    taken = {claim for key, entry in known.items() for claim in _claims(key, entry["name"])}
    homes = {"": ""}
    for inside in sorted({file.folder for file in sources.values()}):
        above = ""
        for part in filter(None, inside.split("/")):
            here = posixpath.join(above, part)
            if here not in homes:
                wanted, number = posixpath.join(homes[above], escaping.file_name(part)), 1
                name = wanted
                while name in taken or name in homes.values() or _is_file(tf.io.gfile.join(folder, name)):
                    number += 1
                    name = f"{wanted}_{number}"
                homes[here] = name
            above = here
    return homes


def _is_file(path):
    return tf.io.gfile.exists(path) and not tf.io.gfile.isdir(path)


def _present(folder, inside):
    """Returns the paths below `folder` of all that lies in its folders `inside`, of which some may not exist."""
    present = set()
    for name in {"", *inside}:
        path = tf.io.gfile.join(folder, name) if name else folder
        if tf.io.gfile.isdir(path):
            present.update(posixpath.join(name, entry.rstrip("/")) for entry in tf.io.gfile.listdir(path))
    return present


def _names(sources, known, present, homes):
    """Chooses the name of every input, so that no result replaces another result or a file of somebody else.

    The name is the folder and the file's name without its suffix; with the suffix (x_jpg) if another input has that
    name, and with a number if that name is taken too.

    Args:
      sources: {key: `InputFile`} of the inputs.
      known: {key: entry} from predict.json. Inputs that are in it keep their names.
      present: what `_present` returns.
      homes: what `_homes` returns.

    Returns:
      {key: name}.
    """
    names = {key: known[key]["name"] for key in sources if key in known}
    taken = {*present, *homes.values()}
    for key, entry in known.items():
        taken.update(_claims(key, entry["name"]))
    stems = collections.Counter((file.folder, _stem(file.path)) for file in sources.values())
    for key, (path, inside) in sources.items():
        if key in names:
            continue
        home, stem = homes[inside], _stem(path)
        whole = posixpath.join(home, escaping.file_name(posixpath.basename(path).replace(".", "_")))
        wanted = posixpath.join(home, stem) if stems[inside, stem] == 1 else whole
        number = 1
        while taken.intersection(_claims(path, wanted)):
            wanted = whole if number == 1 else f"{whole}_{number}"
            number += 1
        names[key] = wanted
        taken.update(_claims(path, wanted))
    return names


def make_folder(job):
    """Creates the folder that the results of a `Job` go to."""
    tf.io.gfile.makedirs(posixpath.dirname(job.stem))


def _claims(path, name):
    """Returns the names of all results that an input may get, whatever the options are."""
    kinds = (VIDEO, FRAMES) if video.is_video(path) else (IDS, OVERLAY, PROBABILITIES)
    return [*(name + kind for kind in kinds), _part(name)]


def _results(path, name, config):
    """Returns the names of the results that the options ask for."""
    if video.is_video(path):
        return [name + VIDEO, *([name + FRAMES] if config.save_frames else [])]
    pictures = [name + IDS, name + OVERLAY] if PNG in config.written.write else []
    parts = [_part(name)] if config.written.annotations else []
    return [*pictures, *([name + PROBABILITIES] if config.save_probabilities else []), *parts]


def _part(name):
    """Returns the path below the output folder of the part of the annotations that an image has."""
    return posixpath.join(PARTS, name + _PART)


def parts(folder):
    """Returns {name: path of its part} of all inputs that predict.json names and that have a part, by their names."""
    found = sorted(entry["name"] for entry in _read(folder)["files"].values())
    paths_of_parts = {name: tf.io.gfile.join(folder, _part(name)) for name in found}
    return {name: path for name, path in paths_of_parts.items() if tf.io.gfile.exists(path)}


def _remove(folder, names):
    """Removes files and folders by their names."""
    for name in names:
        path = tf.io.gfile.join(folder, name)
        (tf.io.gfile.rmtree if tf.io.gfile.isdir(path) else tf.io.gfile.remove)(path)


def _stem(path):
    """Returns the name of a file without its suffix, as the name of a result."""
    return escaping.file_name(posixpath.splitext(posixpath.basename(path))[0])


def network_name(path):
    """Returns what predict.json says of a checkpoint, an export or a file that belongs to a network, given its path."""
    return places.marked(absolute(path), _PARTS)


def _key(path):
    """Returns what predict.json says of an input, which does not depend on the working directory."""
    return places.marked(_place(path))


def _place(path):
    """Returns the path of an input, which does not depend on the working directory."""
    folder, name = posixpath.split(path)
    return posixpath.join(absolute(folder or "."), name)  # two links to one file stay two inputs


def absolute(path):
    """Returns the path without links and `..`, so that two paths to one place become equal."""
    return path.rstrip("/") if "://" in path else os.path.realpath(path)
