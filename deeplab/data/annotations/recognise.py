"""Recognises which annotation format a folder holds, by the files in it."""

import os
import re
from typing import NamedTuple

from deeplab.data.annotations import coco, cvat_xml, label_studio, labelme, masks, yolo
from deeplab.errors import UserError
from deeplab.files import paths

FORMATS = ("coco", "labelme", "cvat", "label_studio", "yolo", "voc", "roboflow_masks")
_HEAD = 1 << 16  # bytes at both ends of a JSON file by which its kind is told
_DEEPEST = 3  # folders below the one that the user named
_COCO_KEYS = ("images", "annotations", "categories", "image_id", "category_id", "segmentation")
_NOT_READ = {  # what a JSON file holds: (whose it is, the way out)
    "_via_img_metadata": "the VGG Image Annotator",
    "segments_info": "COCO panoptic",
}
_NUMBER = re.compile(rb"[-+.eE0-9]+|nan|inf")
_NAMES_OF_CLASSES = ("classes.json", "dataset.json", "package.json", "notes.json", "config.json")


class Candidate(NamedTuple):
    """A format that a folder holds, and the files by which it was recognised."""

    format: str
    files: tuple[str, ...]


def candidates(root):
    """Returns the `Candidate`s of a folder, the surest one first; [] if it holds no annotations that are known.

    Raises:
      UserError: it holds annotations of a format that is known and not read.
    """
    files = _files(root)
    by_ending = {kind: [path for path in files if path.lower().endswith(kind)] for kind in (".json", ".xml", ".txt")}
    found = _json_candidates(by_ending[".json"])
    xml = tuple(path for path in by_ending[".xml"] if b"<annotations" in _ends(path)[:4096])
    if xml:
        found.append(Candidate("cvat", xml))
    roboflow = tuple(os.path.dirname(path) for path in files if os.path.basename(path) == masks.ROBOFLOW_CLASSES)
    roboflow = tuple(folder for folder in roboflow if any(name.endswith("_mask.png") for name in os.listdir(folder)))
    if roboflow:
        found.append(Candidate("roboflow_masks", roboflow))
    if (folder := _voc(root)) is not None:
        labelmap = os.path.exists(os.path.join(root, masks.LABELMAP))
        found.append(Candidate("cvat" if labelmap else "voc", (folder,)))
    if labels := _yolo_labels(root, by_ending[".txt"]):
        found.append(Candidate("yolo", labels))
    return found


def read(root, candidate, options, use_lists=True):
    """Returns the `found.Found` or `masks.MaskFolder` of a `Candidate` of the folder `root`.

    Args:
      root: the folder that the user named.
      candidate: one of `candidates(root)`.
      options: `found.Options`.
      use_lists: whether the lists of the layout of Pascal VOC say the splits.

    Raises:
      UserError: as the readers.
    """
    try:
        return _read(root, candidate, options, use_lists)
    except UserError:  # it is a ValueError, too
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:  # values of odd types
        raise UserError(
            f"{candidate.files[0]}: is not what --format={candidate.format} says ({type(error).__name__}: {error}); "
            "export it again"
        ) from None


def _read(root, candidate, options, use_lists):
    name, files = candidate
    if name == "coco":
        return coco.read(root, files, options)
    if name == "labelme":
        return labelme.read(root, files, options)
    if name == "yolo":
        return yolo.read(root, files, options)
    if name == "roboflow_masks":
        return masks.read_roboflow(root, files)
    if name == "voc" or not files[0].lower().endswith((".xml", ".json")):
        return masks.read_voc(root, use_lists)
    if len(files) > 1:
        raise UserError(f"{root}: {files[0]} and {files[1]} both hold annotations; name the folder of one of them")
    return (cvat_xml if name == "cvat" else label_studio).read(root, files[0], options)


def _files(root):
    """Returns the paths of the files in a folder, down to `_DEEPEST` folders below it, sorted, without hidden ones."""
    found = []
    for directory, folders, names in paths.walk(root):
        inside = os.path.relpath(directory, root)
        depth = 0 if inside == "." else inside.count(os.sep) + 1
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < _DEEPEST else []
        found += [os.path.join(directory, name) for name in sorted(names) if not name.startswith(".")]
    return found


def _ends(path):
    """Returns the first and the last bytes of a file, joined; b"" if it cannot be read."""
    try:
        with paths.open_regular(path) as file:
            head = file.read(_HEAD)
            file.seek(max(len(head), os.path.getsize(path) - _HEAD))
            return head + b" " + file.read(_HEAD)
    except OSError:
        return b""


def _json_candidates(files):
    """Returns the candidates among JSON files; raises a UserError where all are of a kind that is not read."""
    kinds, not_read = {}, None
    for path in files:
        if os.path.basename(path) in _NAMES_OF_CLASSES:
            continue
        kind = _json_kind(_ends(path))
        if kind in _NOT_READ.values():
            not_read = not_read or (path, kind)
        elif kind:
            kinds.setdefault(kind, []).append(path)
    if not_read and not kinds:
        raise UserError(f"{not_read[0]}: is of {not_read[1]}, which is not read; export it as COCO with outlines")
    return [Candidate(kind, tuple(found)) for kind, found in kinds.items()]


def _json_kind(content):
    """Returns the format of the first and last bytes of a JSON file, or ""."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in content[:4]:
        content = content.replace(b"\x00", b"")  # UTF-16, which the reader refuses by name
        content = content[2:] if content[:1] in (b"\xff", b"\xfe") else content
    keys = set(re.findall(rb'"(\w+)"\s*:', content))
    for key, kind in _NOT_READ.items():
        if key.encode() in keys:
            return kind
    if b"shapes" in keys and keys & {b"imagePath", b"imageData", b"imageHeight"}:
        return "labelme"
    if content.lstrip().startswith(b"["):
        tasks = keys & {b"annotations", b"predictions"} and keys & {b"data", b"original_width"}
        return "label_studio" if tasks or b"annotation_id" in keys else ""
    return "coco" if sum(key.encode() in keys for key in _COCO_KEYS) > 1 else ""


def _voc(root):
    """Returns the folder of masks of the layout of Pascal VOC, or None where the lists and names of it are missing."""
    folder = masks.mask_folder(root)
    if folder is None or not paths.is_folder(os.path.join(root, masks.IMAGES)):
        return None
    sure = os.path.isdir(os.path.join(root, masks.LISTS)) or os.path.exists(os.path.join(root, masks.LABELMAP))
    return folder if sure or os.path.basename(folder) == masks.MASKS[0] else None


def _yolo_labels(root, texts):
    """Returns the paths of the text files in folders named labels, if their first words are numbers of classes."""
    labels = [path for path in texts if "labels" in os.path.relpath(path, root).split(os.sep)[:-1]]
    labels = [path for path in labels if os.path.basename(path) not in yolo.NAMES]
    filled = (line.split() for path in labels[:20] for line in _ends(path).splitlines()[:1])
    first = next((words for words in filled if words), [])
    return tuple(labels) if len(first) >= 5 and all(map(_NUMBER.fullmatch, first)) else ()
