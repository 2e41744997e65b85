"""Every file of published weights by its name: address, size, licence, and the data that the weights were trained on.

A name is that of a preset (`deeplab.MODELS`), or the model zoo's name of weights for a backbone, such as
`xception_65_imagenet`. Sizes are those that the model zoo of the reference states, in MB.
"""

import dataclasses

from deeplab.config.presets import MODELS
from deeplab.errors import UserError
from deeplab.files import nearest

SCHEME = "preset:"  # of a path such as preset:xception65_coco_voc_trainaug
LICENCE = "Apache License 2.0, as tensorflow/models, which publishes the file"
TERMS = "the data sets have terms of their own"
WORDS = IMAGENET, IMAGENET_COCO = "imagenet", "imagenet_coco"  # values of --backbone_weights
_DIGESTS = {  # of files whose digest somebody else published. Source: model.yml of deeplabv3 in Intel's Open Model Zoo
    "deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz": "sha384:d3f2b27bb00c485ca45d68731f7198a23926cb865dd010fc444"
    "bcad9158e33413cd60da2588a9be3ff1e8c9b4557362b",
}
_MEGABYTES = {
    "mobilenetv2_dm05_coco_voc_trainaug": 7.6,
    "mobilenetv2_dm05_coco_voc_trainval": 7.6,
    "mobilenetv2_coco_voc_trainaug": 23,
    "mobilenetv2_coco_voc_trainval": 23,
    "xception65_coco_voc_trainaug": 439,
    "xception65_coco_voc_trainval": 439,
    "mobilenetv2_coco_cityscapes_trainfine": 23,
    "mobilenetv3_large_cityscapes_trainfine": 17,
    "mobilenetv3_small_cityscapes_trainfine": 5,
    "xception65_cityscapes_trainfine": 439,
    "xception71_dpc_cityscapes_trainfine": 445,
    "xception71_dpc_cityscapes_trainval": 446,
    "mobilenetv2_ade20k_train": 24.8,
    "xception65_ade20k_train": 439,
}


@dataclasses.dataclass(frozen=True)
class PublishedFile:
    """One published file.

    Attributes:
      name: of the preset or of the weights of a backbone.
      archive: the file at `deeplab.config.presets.ARCHIVES`, which DEEPLAB_MODELS_URL replaces.
      trained_on: data sets that the weights were trained on, in words.
      megabytes: size, or None where the model zoo does not state it.
      model_variant: of weights of a backbone; None for a preset.
      weights: the value of --backbone_weights that means this file; None for a preset.
      licence: of the file.
    """

    name: str
    archive: str
    trained_on: str
    megabytes: float | None = None
    model_variant: str | None = None
    weights: str | None = None
    licence: str = LICENCE

    @property
    def digest(self):
        """A text "algorithm:hexadecimal digits" that is known for the file, or None."""
        return _DIGESTS.get(self.archive)

    @property
    def terms(self):
        """What config.json and model.json say of the file beside its place."""
        return {"licence": self.licence, "trained_on": self.trained_on}

    @property
    def told(self):
        """The line that tells licence and training data."""
        return f"{self.name}: {self.licence}; trained on {self.trained_on} ({TERMS})"


def _backbone(variant, archive, megabytes, weights=IMAGENET, trained_on="ImageNet"):
    return PublishedFile(f"{variant}_{weights}", archive, trained_on, megabytes, variant, weights)


_BACKBONES = (
    _backbone("xception_41", "xception_41_2018_05_09.tar.gz", 288),
    _backbone("xception_65", "deeplabv3_xception_2018_01_04.tar.gz", 447),
    # Its checkpoint is x65-b2u1s2p-d48-2-3x256-sc-cr300k_init.ckpt, with plain convolutions in the ASPP and decoder.
    _backbone("xception_65", "xception_65_coco_pretrained_2018_10_02.tar.gz", 292, IMAGENET_COCO, "ImageNet, MS-COCO"),
    _backbone("xception_71", "xception_71_2018_05_09.tar.gz", 474),
    _backbone("resnet_v1_50_beta", "resnet_v1_50_2018_05_04.tar.gz", 274),
    _backbone("resnet_v1_101_beta", "resnet_v1_101_2018_05_04.tar.gz", 477),
)
_PRESETS = (
    PublishedFile(name, preset.archive, preset.trained_on, _MEGABYTES.get(name))
    for name, preset in MODELS.items()
    if preset.archive
)
FILES: dict[str, PublishedFile] = {file.name: file for file in (*_PRESETS, *_BACKBONES)}
KERAS = PublishedFile(  # fetched by Keras from its own address, and kept in its own cache
    "mobilenet_v2_imagenet", "", "ImageNet", None, "mobilenet_v2", IMAGENET,
    "Apache License 2.0, as Keras, which publishes the file",
)  # fmt: skip


def named(name: str) -> PublishedFile:
    """Returns the `PublishedFile` of that name.

    Raises:
      UserError: there is none; the message gives the nearest names.
    """
    if name not in FILES:
        hint = nearest.hint(name, FILES) or f"; expected one of {', '.join(FILES)}"
        raise UserError(f"{SCHEME}{name}: no published weights of this name{hint}")
    return FILES[name]


def of_archive(base_name: str) -> PublishedFile | None:
    """Returns the `PublishedFile` whose archive has that name, or None."""
    return next((file for file in FILES.values() if file.archive == base_name), None)


def of_backbone(model_variant: str, weights: str) -> PublishedFile:
    """Returns the file of `weights`, "imagenet" or "imagenet_coco", for a backbone; `KERAS` for mobilenet_v2.

    Raises:
      UserError: none were published; the message says which were.
    """
    files = (KERAS, *_BACKBONES)
    for file in files:
        if (file.model_variant, file.weights) == (model_variant, weights):
            return file
    known = "; ".join(f"{file.model_variant}: {file.weights}" for file in files)
    own = [str(file.weights) for file in files if file.model_variant == model_variant]
    wanted = f"expected {' or '.join(own)} for it" if own else "none were published for it, only for others"
    raise UserError(f"backbone_weights={weights!r} with model_variant={model_variant!r}: {wanted} ({known}), or a file")


def preset_of(path: str | None) -> str | None:
    """Returns NAME if `path` is preset:NAME and NAME is a preset, else None."""
    name = (path or "").removeprefix(SCHEME)
    return name if path and path.startswith(SCHEME) and name in MODELS else None
