"""Lists the published weights, and fetches them: `python -m deeplab.models`. Imports no TensorFlow."""

import os

from deeplab.checkpoints.published import addresses, cache
from deeplab.config.presets import MODELS
from deeplab.config.published import files


def models(config):
    """Prints all published weights, or fetches the ones that `config`, a `ModelsConfig`, names."""
    if config.download is None:
        print(table())
        return
    file = files.named(config.download)
    source = addresses.of_published(file)
    is_new = not os.path.exists(cache.place_of(source))
    print(f"{cache.fetched(source)} is in the cache")
    if not is_new:
        print(file.told)


def table():
    """Returns the text of all published weights: what they are, what they cost, and whether the cache holds them."""
    presets = [["--preset", "data set", "classes", "stride", "mIoU, %", "mult.-adds, 10^9", "MB", "archive", "cached"]]
    backbones = [["name", "--model_variant", "--backbone_weights", "trained on", "MB", "archive", "cached"]]
    for file in files.FILES.values():
        megabytes = f"{file.megabytes:g}" if file.megabytes else ""
        place = [megabytes, file.archive, "yes" if _is_cached(file) else ""]
        if file.model_variant:
            backbones.append([file.name, file.model_variant, file.weights, file.trained_on, *place])
        else:
            presets.append([file.name, *_scores(MODELS[file.name]), *place])
    own = files.KERAS
    keras = [own.name, own.model_variant, own.weights, own.trained_on, "", "(of Keras)", ""]
    return "\n".join(
        [
            *_aligned(presets),
            "",
            *_aligned([*backbones, keras]),
            "",
            f"Licence of the archives: {files.LICENCE}; {files.TERMS}.",
            f"They are fetched from {os.environ.get(addresses.MODELS_URL) or addresses.ARCHIVES} to {cache.folder()}",
        ]
    )


def _scores(preset):
    """Returns the cells of the first evaluation of a `Preset`."""
    first = preset.evaluations[0]
    cost = "" if first.multiply_adds is None else f"{first.multiply_adds:g}"
    score = f"{first.miou:.2f} {first.split}"
    return [preset.dataset, str(preset.config.num_classes), str(first.output_stride), score, cost]


def _is_cached(file):
    return os.path.isfile(cache.place_of(addresses.of_published(file)))


def _aligned(rows):
    """Returns lines in which the cells of a column stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
