"""Builds the shards of a folder that an annotation tool has written, which `folder.py` asks for first."""

import dataclasses

from deeplab.config.options import changed_options
from deeplab.data import catalog
from deeplab.data.annotations import found, masks, recognise
from deeplab.data.building import builder, label_rules, listing
from deeplab.data.building.class_lists import reading
from deeplab.errors import UserError
from deeplab.files import escaping, paths
from deeplab.programs.builders import arrangement, own_data

_FOR_MASKS = (  # options that say how mask files are read
    *("label_dir", "image_suffix", "label_suffix", "label_format", "ignore_values", "ignore_colors"),
    "reduce_zero_label",
)
_SHOWN = 30  # names of classes in a message


def build(config):
    """Builds the shards of `config` (a `FolderConfig`) if its folder holds annotations; returns whether it does.

    Raises:
      UserError: the folder holds annotations of several formats, or not those of --format, or they are damaged.
    """
    candidate = _candidate(config)
    if candidate is None:
        return False
    names = reading.read(config.class_names).names if config.class_names else ()
    options = found.Options(names, config.overlap, config.image_dir)
    source = recognise.read(config.folder, candidate, options, use_lists=not config.says_splits)
    _tell(config, source)
    if isinstance(source, masks.MaskFolder):
        _build_masks(config, source)
    else:
        _build_drawn(config, source)
    return True


def _candidate(config):
    """Returns the `recognise.Candidate` that --format chooses, or None for plain folders."""
    if not config.folder or config.format == "folders" or (config.label_dir and config.format == "auto"):
        return None
    if paths.is_remote(config.folder):
        if config.format == "auto":
            return None
        raise UserError(f"--folder={config.folder}: annotations are read from local folders; copy it first")
    if not paths.is_folder(config.folder):
        raise UserError(f"--folder={config.folder}: no such folder")
    candidates = recognise.candidates(config.folder)
    if config.format != "auto":
        wanted = [candidate for candidate in candidates if candidate.format == config.format]
        if not wanted:
            seen = ", ".join(candidate.format for candidate in candidates) or "folders of images and masks at most"
            raise UserError(f"--format={config.format}: {config.folder} holds no files of that format, but {seen}")
        return wanted[0]
    formats = list(dict.fromkeys(candidate.format for candidate in candidates))
    if candidates and not paths.is_folder(candidates[0].files[0]) and _has_masks(config.folder):
        formats.append("folders")
    if len(formats) > 1:
        choices = " or ".join(f"--format={name}" for name in formats)
        raise UserError(f"--folder={config.folder}: holds {' and '.join(formats)}; choose one by {choices}")
    return candidates[0] if candidates else None


def _has_masks(root):
    """Tells whether a folder has, beside annotations, folders of images and masks."""
    folder = arrangement.labels_beside_images(root)
    return bool(folder) and bool(listing.holds_images(folder))


def _tell(config, source):
    """Prints what was found."""
    count = sum(image is not None for image in source.images.values())
    names = source.class_names
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    classes = f", {len(names)} classes: {', '.join(names[:_SHOWN])}{more}" if names else ""
    lines = [
        f"{config.folder}: taken as --format={source.format}: {count} images, {len(source.labels)} labels{classes}"
    ]
    lines += [f"  {note}" for note in source.notes]
    print("\n".join(map(escaping.terminal, lines)), flush=True)


def _build_drawn(config, source):
    """Builds from shapes; the flags that say how mask files are read have no effect there and are refused."""
    given = changed_options(config)
    for name in _FOR_MASKS:
        if name in given:
            raise UserError(
                f"--{name}={getattr(config, name)}: has no effect, since the labels are drawn from --format="
                f"{source.format}; leave it out, or choose --format=folders"
            )
    count = len(source.class_names)
    if config.num_classes not in (None, count):
        raise UserError(f"--num_classes={config.num_classes}: the annotations have {count} with the background")
    dataset = catalog.Dataset(
        config.name, count, config.ignore_label,
        class_names=source.class_names, colors=source.colors, source_ids=_ids(source.source_ids),
    )  # fmt: skip
    if config.ignore_label < count:
        raise UserError(f"--ignore_label={config.ignore_label}: is the id of a class; choose {count} to 255")
    splits = own_data.find_splits(config, source.images, source.labels)
    dataset = dataclasses.replace(dataset, **own_data.channels_of(config, splits))
    builder.build(splits, dataset, label_rules.LabelRules(count, config.ignore_label), config)
    own_data.advise_to_split(splits, config)


def _ids(ids):
    """Returns the ids of the classes in the source; a background that it does not list is 0, if no class is."""
    filled = tuple(0 if number is None else number for number in ids)
    return filled if len(set(filled)) == len(filled) else ()


def _build_masks(config, source):
    """Builds from mask files: fills the options of `config` that the source answers, and goes on as with folders."""
    if config.overlap != "file":
        raise UserError(f"--overlap={config.overlap}: has no effect, since --format={source.format} has no shapes")
    changes = {}
    own_lists = source.lists or arrangement.lists(config.folder)
    if own_lists and not config.says_splits:
        changes["list"] = own_lists
    if not config.class_names and config.num_classes is None:
        changes["class_names"] = _class_text(source) or arrangement.class_list(config.folder)
    if source.ignore_colors and not config.ignore_colors:
        changes["ignore_colors"] = tuple(value for color in source.ignore_colors for value in color)
    if source.colors and changes.get("class_names") and config.label_format == "auto":
        changes["label_format"] = "rgb"
    own_data.build(dataclasses.replace(config, **changes), config, (source.images, source.labels))


def _class_text(source):
    """Returns the classes as --class_names has them."""
    with_comma = next((name for name in source.class_names if "," in name), None)
    if with_comma:
        raise UserError(f"{with_comma!r}: a comma in the name of a class; give the classes by --class_names=FILE.json")
    if not source.colors:
        return ",".join(source.class_names)
    named = zip(source.class_names, source.colors, strict=True)
    return ",".join(f"{name}=#{bytes(color).hex()}" for name, color in named)
