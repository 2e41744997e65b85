"""The published models: network, data set, scores and costs, as the model zoo of the reference states them.

preset = deeplab.MODELS["xception65_coco_voc_trainaug"]
model = deeplab.build_model(preset.config)
"""

import dataclasses
from typing import Any

from deeplab.config.model import ModelConfig
from deeplab.config.options import differences, option
from deeplab.errors import UserError
from deeplab.files import nearest

_SIX_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_CITYSCAPES_SCALES = (0.75, 1.0, 1.25)
_DPC_SCALES = (0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One published score."""

    output_stride: int
    miou: float  # per cent
    split: str = "val"  # split of the data set; scores on "test" come from the data set's evaluation server
    multiply_adds: float | None = None  # billions; published numbers count an atrous convolution as space to batch
    eval_scales: tuple[float, ...] = (1.0,)
    add_flipped_images: bool = False
    pixel_accuracy: float | None = None  # per cent

    @property
    def flags(self):
        """The flags with which `python -m deeplab.eval` repeats this evaluation: {name: value}."""
        return {name: getattr(self, name) for name in ("output_stride", "eval_scales", "add_flipped_images")}


@dataclasses.dataclass(frozen=True)
class Preset:
    """One published model.

    `config` has the output stride of the first evaluation. `crop_size` is the (height, width) to which evaluation pads
    its images. `archive` is the file that the model zoo lists for the model, at the address `ARCHIVES`; the archives
    themselves were never fetched for this project. `recipe` is the file of deeplab/config/recipes that trains the
    model, for `train --recipe`.
    """

    config: ModelConfig
    dataset: str  # name in the catalogue
    trained_on: str  # data sets that the published weights were trained on, in words
    evaluations: tuple[Evaluation, ...]
    crop_size: tuple[int, int]
    archive: str | None = None
    recipe: str | None = None
    quantized: bool = False  # the published file computes in 8 bits; this project builds the network in float32

    @property
    def miou(self):
        """The score of the first evaluation, in per cent."""
        return self.evaluations[0].miou

    @property
    def multiply_adds(self):
        """The published cost of the first evaluation in billions, or None."""
        return self.evaluations[0].multiply_adds


ARCHIVES = "http://download.tensorflow.org/models/"
_VOC: dict[str, Any] = {"dataset": "pascal_voc_seg", "crop_size": (513, 513)}
_CITYSCAPES: dict[str, Any] = {"dataset": "cityscapes", "crop_size": (1025, 2049)}
_MOBILENET_V2 = ModelConfig(model_variant="mobilenet_v2", output_stride=16)
_XCEPTION_65 = ModelConfig(model_variant="xception_65", output_stride=16, decoder_output_stride=(4,))
_XCEPTION_71_DPC = ModelConfig(
    model_variant="xception_71",
    num_classes=19,
    output_stride=16,
    dense_prediction_cell_json="cityscapes",
    decoder_output_stride=(4,),
)
_MOBILENET_V3_LARGE = ModelConfig(
    model_variant="mobilenet_v3_large_seg",
    num_classes=19,
    output_stride=32,
    decoder_output_stride=(8,),
    image_pooling_crop_size=(769, 769),
    image_pooling_stride=(4, 5),
    aspp_convs_filters=128,
    aspp_with_concat_projection=False,
    aspp_with_squeeze_and_excitation=True,
    image_se_uses_qsigmoid=True,
    decoder_use_sum_merge=True,
    decoder_filters=19,
    decoder_output_is_logits=True,
)
_EDGETPU = ModelConfig(model_variant="mobilenet_edgetpu", num_classes=19, output_stride=32)


def _six_scales(miou, split="val", multiply_adds=None):
    return Evaluation(8, miou, split, multiply_adds, _SIX_SCALES, add_flipped_images=True)


_VOC_MODELS = {
    "mobilenetv2_dm05_coco_voc_trainaug": Preset(
        dataclasses.replace(_MOBILENET_V2, depth_multiplier=0.5),
        trained_on="ImageNet, MS-COCO, VOC 2012 train_aug",
        evaluations=(Evaluation(16, 70.19, "val", 0.88),),
        archive="deeplabv3_mnv2_dm05_pascal_trainaug_2018_10_01.tar.gz",
        recipe="voc_mobilenet_v2.flags",
        **_VOC,
    ),
    "mobilenetv2_dm05_coco_voc_trainval": Preset(
        dataclasses.replace(_MOBILENET_V2, depth_multiplier=0.5, output_stride=8),
        trained_on="ImageNet, MS-COCO, VOC 2012 train_aug and trainval",
        evaluations=(Evaluation(8, 71.83, "test", 2.84),),
        archive="deeplabv3_mnv2_dm05_pascal_trainval_2018_10_01.tar.gz",
        recipe="voc_mobilenet_v2.flags",
        **_VOC,
    ),
    "mobilenetv2_coco_voc_trainaug": Preset(
        _MOBILENET_V2,
        trained_on="ImageNet, MS-COCO, VOC 2012 train_aug",
        evaluations=(Evaluation(16, 75.32, "val", 2.75), _six_scales(77.33, multiply_adds=152.59)),
        archive="deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz",
        recipe="voc_mobilenet_v2.flags",
        **_VOC,
    ),
    "mobilenetv2_coco_voc_trainval": Preset(
        dataclasses.replace(_MOBILENET_V2, output_stride=8),
        trained_on="ImageNet, MS-COCO, VOC 2012 train_aug and trainval",
        evaluations=(_six_scales(80.25, "test", 152.59),),
        archive="deeplabv3_mnv2_pascal_trainval_2018_01_29.tar.gz",
        recipe="voc_mobilenet_v2.flags",
        **_VOC,
    ),
    "xception65_coco_voc_trainaug": Preset(
        _XCEPTION_65,
        trained_on="ImageNet, MS-COCO, VOC 2012 train_aug",
        evaluations=(Evaluation(16, 82.20, "val", 54.17), _six_scales(83.58, multiply_adds=3055.35)),
        archive="deeplabv3_pascal_train_aug_2018_01_04.tar.gz",
        recipe="voc_xception_65.flags",
        **_VOC,
    ),
    "xception65_coco_voc_trainval": Preset(
        dataclasses.replace(_XCEPTION_65, output_stride=8),
        trained_on="ImageNet, MS-COCO, VOC 2012 train_aug and trainval",
        evaluations=(_six_scales(87.80, "test", 3055.35),),
        archive="deeplabv3_pascal_trainval_2018_01_04.tar.gz",
        recipe="voc_xception_65_trainval.flags",
        **_VOC,
    ),
    "mobilenetv2_dm05_coco_voc_trainaug_8bit": Preset(
        dataclasses.replace(_MOBILENET_V2, depth_multiplier=0.5),
        trained_on="ImageNet, MS-COCO, VOC 2012 train_aug",
        evaluations=(Evaluation(16, 69.65, "val", 0.88),),
        archive="deeplabv3_mnv2_dm05_pascal_train_aug_8bit_2019_04_26.tar.gz",
        quantized=True,
        **_VOC,
    ),
    "mobilenetv2_coco_voc_trainaug_8bit": Preset(
        _MOBILENET_V2,
        trained_on="ImageNet, MS-COCO, VOC 2012 train_aug",
        evaluations=(Evaluation(16, 74.26, "val", 2.75),),
        archive="deeplabv3_mnv2_pascal_train_aug_8bit_2019_04_26.tar.gz",
        quantized=True,
        **_VOC,
    ),
}


def _cityscapes_scales(miou, multiply_adds=None, split="val", scales=_CITYSCAPES_SCALES):
    return Evaluation(8, miou, split, multiply_adds, scales, add_flipped_images=True)


_CITYSCAPES_MODELS = {
    "mobilenetv2_coco_cityscapes_trainfine": Preset(
        dataclasses.replace(_MOBILENET_V2, num_classes=19),
        trained_on="ImageNet, MS-COCO, Cityscapes train_fine",
        evaluations=(Evaluation(16, 70.71, "val", 21.27), _cityscapes_scales(73.57, 433.24)),
        archive="deeplabv3_mnv2_cityscapes_train_2018_02_05.tar.gz",
        **_CITYSCAPES,
    ),
    "mobilenetv3_large_cityscapes_trainfine": Preset(
        _MOBILENET_V3_LARGE,
        trained_on="Cityscapes train_fine",
        evaluations=(Evaluation(32, 72.41, "val", 15.95),),
        archive="deeplab_mnv3_large_cityscapes_trainfine_2019_11_15.tar.gz",
        recipe="cityscapes_mobilenet_v3_large.flags",
        **_CITYSCAPES,
    ),
    "mobilenetv3_small_cityscapes_trainfine": Preset(
        dataclasses.replace(_MOBILENET_V3_LARGE, model_variant="mobilenet_v3_small_seg"),
        trained_on="Cityscapes train_fine",
        evaluations=(Evaluation(32, 68.99, "val", 4.63),),
        archive="deeplab_mnv3_small_cityscapes_trainfine_2019_11_15.tar.gz",
        recipe="cityscapes_mobilenet_v3_small.flags",
        **_CITYSCAPES,
    ),
    "xception65_cityscapes_trainfine": Preset(
        dataclasses.replace(_XCEPTION_65, num_classes=19),
        trained_on="ImageNet, Cityscapes train_fine",
        evaluations=(Evaluation(16, 78.79, "val", 418.64), _cityscapes_scales(80.42, 8677.92)),
        archive="deeplabv3_cityscapes_train_2018_02_06.tar.gz",
        recipe="cityscapes_xception_65.flags",
        **_CITYSCAPES,
    ),
    "xception71_dpc_cityscapes_trainfine": Preset(
        _XCEPTION_71_DPC,
        trained_on="ImageNet, MS-COCO, Cityscapes train_fine",
        evaluations=(Evaluation(16, 80.31, "val", 502.07),),
        archive="deeplab_cityscapes_xception71_trainfine_2018_09_08.tar.gz",
        recipe="cityscapes_xception_71_dpc.flags",
        **_CITYSCAPES,
    ),
    "xception71_dpc_cityscapes_trainval": Preset(
        dataclasses.replace(_XCEPTION_71_DPC, output_stride=8),
        trained_on="ImageNet, MS-COCO, Cityscapes trainval_fine and coarse",
        evaluations=(_cityscapes_scales(82.66, split="test", scales=_DPC_SCALES),),
        archive="deeplab_cityscapes_xception71_trainvalfine_2018_09_08.tar.gz",
        recipe="cityscapes_xception_71_dpc.flags",
        **_CITYSCAPES,
    ),
    "EdgeTPU-DeepLab": Preset(
        _EDGETPU,
        trained_on="ImageNet, Cityscapes train_fine",
        evaluations=(Evaluation(32, 70.6, "val", 5.6), Evaluation(16, 74.1, "val", 7.1)),
        archive="edgetpu-deeplab_2020_03_09.tar.gz",
        recipe="cityscapes_mobilenet_edgetpu.flags",
        **_CITYSCAPES,
    ),
    "EdgeTPU-DeepLab-slim": Preset(
        dataclasses.replace(_EDGETPU, depth_multiplier=0.75, aspp_convs_filters=128),
        trained_on="ImageNet, Cityscapes train_fine",
        evaluations=(Evaluation(32, 70.0, "val", 3.5), Evaluation(16, 73.2, "val", 4.3)),
        archive="edgetpu-deeplab-slim_2020_03_09.tar.gz",
        recipe="cityscapes_mobilenet_edgetpu_slim.flags",
        **_CITYSCAPES,
    ),
}

_ADE20K_MODELS = {
    "mobilenetv2_ade20k_train": Preset(
        dataclasses.replace(_MOBILENET_V2, num_classes=151, decoder_output_stride=(4,)),
        dataset="ade20k",
        trained_on="ImageNet, ADE20K train",
        evaluations=(Evaluation(16, 32.04, "val", pixel_accuracy=75.41),),
        crop_size=(257, 257),
        archive="deeplabv3_mnv2_ade20k_train_2018_12_03.tar.gz",
        recipe="ade20k_mobilenet_v2.flags",
    ),
    "xception65_ade20k_train": Preset(
        dataclasses.replace(_XCEPTION_65, num_classes=151, output_stride=8),
        dataset="ade20k",
        trained_on="ImageNet, ADE20K train",
        evaluations=(dataclasses.replace(_six_scales(45.65), pixel_accuracy=82.52),),
        crop_size=(513, 513),
        archive="deeplabv3_xception_ade20k_train_2018_05_29.tar.gz",
        recipe="ade20k_xception_65.flags",
    ),
}

MODELS: dict[str, Preset] = {**_VOC_MODELS, **_CITYSCAPES_MODELS, **_ADE20K_MODELS}


def preset(name: str) -> Preset:
    """Returns the `Preset` of a published model.

    Raises:
      UserError: no published model has this name.
    """
    if name not in MODELS:
        raise UserError(f"preset={name!r}: expected one of {', '.join(MODELS)}{nearest.hint(name, MODELS)}")
    return MODELS[name]


def preset_option():
    """Declares the field `preset` of a configuration."""
    return option(
        None, "Build the network of this published model. Model flags override the preset.", choices=(*MODELS,)
    )


def model_options(name):
    """Returns {field of ModelConfig: value} for the published model `name`, or {} when `name` is None.

    Programs use these values as defaults; flags of the command line override them.
    """
    if name is None:
        return {}
    config, default = preset(name).config, ModelConfig()
    options = {field: given for field, (given, _default) in differences(config, default).items()}
    return {"output_stride": config.output_stride, "num_classes": config.num_classes, **options}
