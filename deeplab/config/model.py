"""Options of the network. Names and defaults are those of the reference's model code."""

import dataclasses
import json
from typing import Any

from deeplab.config.atrous_rates import AUTO, CANONICAL
from deeplab.config.options import Checked, option, require, require_pair

XCEPTIONS = ("xception_41", "xception_65", "xception_71")
RESNETS = (
    "resnet_v1_18",
    "resnet_v1_18_beta",
    "resnet_v1_50",
    "resnet_v1_50_beta",
    "resnet_v1_101",
    "resnet_v1_101_beta",
)
MOBILENETS = ("mobilenet_v2", "mobilenet_v3_large_seg", "mobilenet_v3_small_seg", "mobilenet_edgetpu")
NAS = ("nas_pnasnet", "nas_hnasnet")
MODEL_VARIANTS = XCEPTIONS + RESNETS + MOBILENETS + NAS
OUTPUT_STRIDES = (8, 16, 32)
_MAX_CHANNELS = 1 << 10  # hyperspectral cameras have some hundred
PROGRAM_DEFAULTS: dict[str, Any] = {
    "output_stride": 16
}  # reference: train.py, eval.py and vis.py; its model code says 8
# The largest value of options on which the size of the network depends: a damaged or crafted config.json must not ask
# for terabytes. All published values are far below.
_MOST = {
    **dict.fromkeys(("num_classes", "aspp_convs_filters", "decoder_filters", "divisible_by"), 1 << 14),
    **dict.fromkeys(("crop_size", "image_pooling_crop_size", "image_pooling_stride", "atrous_rates"), 1 << 16),
    **dict.fromkeys(("depth_multiplier", "image_pyramid", "multi_grid"), 64),
    "num_channels": _MAX_CHANNELS,
    **{"nas_stem_output_num_conv_filters": 1 << 10, "logits_kernel_size": 1 << 8},
}
RETIRED_MODEL_FLAGS = {
    "batch_norm_decay": "batch norm decays are part of the networks and the flag never had an effect; leave it out"
}


@dataclasses.dataclass(frozen=True)
class ModelConfig(Checked):
    """Architecture of the network

    Raises a `UserError` at construction when values are illegal or contradict each other.

    Field names and defaults are the reference's (research/deeplab, `ModelOptions` and common.py). `num_classes` and
    `crop_size` are fields here, too; the reference passes them separately. Sizes are (height, width) in pixels.
    """

    model_variant: str = option("mobilenet_v2", "Backbone of the network.", choices=MODEL_VARIANTS)
    num_classes: int = option(21, "Number of classes. The background is a class, the ignore label is not.")
    num_channels: int = option(
        3,
        "Number of channels of the images: 3 for RGB. train takes the number from dataset.json. As in the original, "
        "ResNets that subtract the mean colour take 0 for the mean of further channels.",
    )
    crop_size: tuple[int, ...] | None = option(
        None, "Height and width for which image pooling and resizes are computed. Not given: the size of the image."
    )
    output_stride: int = option(
        8, "Side of the input divided by the side of the backbone's output.", choices=OUTPUT_STRIDES
    )
    atrous_rates: tuple[int, ...] | None = option(
        None,
        "Rates of the atrous branches of the ASPP. Not given: no such branches for MobileNet and NAS; for Xception and "
        "ResNet 3,6,9 at output stride 32, 6,12,18 at 16 and 12,24,36 at 8. train also takes auto: rates in proportion "
        "to train_crop_size, for every network.",
        word=AUTO,
    )
    multi_grid: tuple[int, ...] | None = option(
        None,
        "Multipliers of the atrous rates inside the last block. Xception, ResNet-50 and ResNet-101 have three units "
        "there, ResNet-18 has two.",
    )
    depth_multiplier: float = option(1.0, "MobileNet: multiplies the number of channels.")
    divisible_by: int | None = option(None, "mobilenet_v2: round numbers of channels to multiples of this number.")
    image_pyramid: tuple[float, ...] | None = option(
        None, "Run the network on the image at these scales and merge the logits. Not given: the image as it is."
    )
    merge_method: str = option("max", "How the logits of the image pyramid are merged.", choices=("max", "avg"))
    add_image_level_feature: bool = option(True, "Add image pooling to the ASPP.")
    image_pooling_crop_size: tuple[int, ...] | None = option(
        None, "Height and width of the window of image pooling, in input pixels. Not given: the whole crop."
    )
    image_pooling_stride: tuple[int, ...] = option((1, 1), "Vertical and horizontal stride of image pooling, in cells.")
    aspp_with_batch_norm: bool = option(True, "Use an ASPP. False: compute the logits as DeepLab v2 does.")
    aspp_with_separable_conv: bool = option(True, "Use separable convolutions in the ASPP. False: plain ones.")
    aspp_with_concat_projection: bool = option(
        True, "Project the concatenated branches of the ASPP to aspp_convs_filters channels."
    )
    aspp_with_squeeze_and_excitation: bool = option(
        False, "Multiply the ASPP by the image pooling branch instead of concatenating them."
    )
    aspp_convs_filters: int = option(256, "Number of channels of each ASPP branch.")
    image_se_uses_qsigmoid: bool = option(
        False, "Squeeze and excitation: the gate is relu6(x + 3) * 0.16667 instead of a sigmoid."
    )
    dense_prediction_cell_json: str | None = option(
        None, "Use this dense prediction cell instead of the ASPP: a JSON file, or the published cell `cityscapes`."
    )
    decoder_output_stride: tuple[int, ...] | None = option(
        None, "Strides at which the decoder refines the features, in descending order, e.g. 4. Not given: no decoder."
    )
    decoder_use_separable_conv: bool = option(True, "Use separable convolutions in the decoder. False: plain ones.")
    decoder_filters: int = option(256, "Number of channels of the decoder's convolutions.")
    decoder_use_sum_merge: bool = option(
        False, "The decoder adds the projected features instead of concatenating them."
    )
    decoder_output_is_logits: bool = option(False, "Use the decoder's output as logits. Needs decoder_use_sum_merge.")
    logits_kernel_size: int = option(
        1, "Kernel size of the logits convolutions. Other values than 1 need --noaspp_with_batch_norm."
    )
    use_bounded_activation: bool = option(
        False,
        "Bound the activations of Xception, ASPP and decoder: relu6 instead of relu, summands clipped to [-6, 6].",
    )
    prediction_with_upsampled_logits: bool = option(
        True,
        "Upsample the logits, then choose classes. False: choose classes first, then upsample by nearest neighbour.",
    )
    nas_stem_output_num_conv_filters: int = option(20, "NAS: number of filters of a cell at stride 4.")
    nas_use_classification_head: bool = option(False, "Not supported. In the original it adds a classification head.")
    nas_remove_os32_stride: bool = option(False, "NAS: stay at stride 16 where the searched network goes to stride 32.")
    drop_path_keep_prob: float = option(
        1.0, "NAS: probability that a path of the last cell is kept, at the end of the training."
    )
    label_weights: tuple[float, ...] | None = option(
        None, "Weight of each class in the loss. Not given: all classes weigh 1."
    )
    fine_tune_batch_norm: bool = option(
        True, "Batch norm uses the statistics of the batch. False (for small batches): it uses the moving averages."
    )
    batch_norm_warmup: bool = option(
        True,
        "Moving averages decay with min(decay, (1 + n) / (10 + n)) after n updates, so that short trainings evaluate "
        "well. False: the decay is constant, exactly as in the reference.",
    )

    def __post_init__(self):
        cell = self.dense_prediction_cell_json
        if isinstance(cell, (list, tuple)):  # a parsed cell is kept as text, so that the configuration can be hashed
            object.__setattr__(self, "dense_prediction_cell_json", json.dumps(list(cell)))
        require(
            self.atrous_rates != AUTO,
            "atrous_rates",
            self.atrous_rates,
            "numbers: only train knows the crop that auto goes by, and config.json then holds the numbers",
        )
        super().__post_init__()

    @property
    def rates(self):
        """The atrous rates of the ASPP as a tuple; `atrous_rates=None` is replaced by the variant's default."""
        if self.atrous_rates is not None:
            return self.atrous_rates
        if self.model_variant.startswith(("mobilenet", "nas")):
            return ()
        return CANONICAL[self.output_stride]

    @property
    def logits_stride(self):
        """Stride of the logits: the decoder's smallest stride, or the output stride when there is no decoder."""
        return min(self.decoder_output_stride) if self.decoder_output_stride else self.output_stride

    def check(self):
        for name in ("num_classes", "num_channels"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name, most in _MOST.items():
            value = getattr(self, name)
            largest = max(value, default=0) if isinstance(value, tuple) else value or 0
            require(largest <= most, name, value, f"at most {most}, since a larger network does not fit into memory")
        for name in ("crop_size", "image_pooling_crop_size", "image_pooling_stride"):
            require_pair(name, getattr(self, name))
        for name in ("depth_multiplier", "aspp_convs_filters", "decoder_filters", "nas_stem_output_num_conv_filters"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a positive number")
        require(all(rate > 0 for rate in self.rates), "atrous_rates", self.atrous_rates, "positive rates")
        scales = self.image_pyramid or ()
        names = {f"{scale:.2f}" for scale in scales}  # the logits of a scale are named so
        distinct = len(names) == len(scales) and all(scale > 0 for scale in scales)
        require(distinct, "image_pyramid", self.image_pyramid, "positive scales, which differ by 0.01 or more")
        if self.label_weights is not None:
            require(
                len(self.label_weights) == self.num_classes,
                "label_weights",
                self.label_weights,
                f"{self.num_classes} weights, one per class",
            )
        self._check_backbone()
        self._check_head()
        self._check_decoder()

    def _check_backbone(self):
        variant = self.model_variant
        if not variant.startswith("mobilenet"):
            require(self.depth_multiplier == 1, "depth_multiplier", self.depth_multiplier, f"1 for {variant}")
        if variant != "mobilenet_v2":
            require(self.divisible_by is None, "divisible_by", self.divisible_by, f"no value for {variant}")
        if self.divisible_by is not None:
            require(self.divisible_by > 0, "divisible_by", self.divisible_by, "a positive number")
        if self.multi_grid is not None:
            length = 2 if variant.startswith("resnet_v1_18") else 3
            supported = variant in XCEPTIONS + RESNETS
            expected = f"{length} positive numbers" if supported else f"no value: {variant} has no multi grid block"
            legal = supported and len(self.multi_grid) == length and min(self.multi_grid) > 0
            require(legal, "multi_grid", self.multi_grid, expected)
        if variant == "nas_hnasnet":
            require(self.output_stride == 8, "output_stride", self.output_stride, "8: nas_hnasnet always has stride 8")
        keep, legal = self.drop_path_keep_prob, variant in NAS and 0 < self.drop_path_keep_prob < 1
        require(keep == 1 or legal, "drop_path_keep_prob", keep, "more than 0, at most 1, and 1 but for NAS variants")
        require(
            not self.nas_use_classification_head,
            "nas_use_classification_head",
            True,
            "False: the classification head is not part of any segmentation network",
        )

    def _check_head(self):
        if self.logits_kernel_size != 1:
            legal = not self.aspp_with_batch_norm and bool(self.rates) and self.logits_kernel_size > 0
            expected = "1, unless aspp_with_batch_norm=False and atrous_rates are given"
            require(legal, "logits_kernel_size", self.logits_kernel_size, expected)
        if self.model_variant == "nas_pnasnet" and self.output_stride == 32 and self.add_image_level_feature:
            removes = self.nas_remove_os32_stride and self.aspp_with_batch_norm
            expected = "False with image pooling at output stride 32, since the features then have stride 16"
            require(not removes, "nas_remove_os32_stride", True, expected)
        if self.dense_prediction_cell_json:
            require(
                self.output_stride != 32, "output_stride", 32, "8 or 16: the dense prediction cell's rates are 0 at 32"
            )
            require(self.aspp_with_batch_norm, "aspp_with_batch_norm", False, "True with a dense prediction cell")
        if self.aspp_with_squeeze_and_excitation:
            require(
                self.add_image_level_feature,
                "add_image_level_feature",
                False,
                "True: aspp_with_squeeze_and_excitation multiplies by the image pooling branch",
            )
            require(
                self.aspp_with_concat_projection or not self.rates,
                "aspp_with_concat_projection",
                False,
                "True: aspp_with_squeeze_and_excitation cannot multiply several concatenated branches",
            )

    def _check_decoder(self):
        strides = self.decoder_output_stride
        if self.decoder_output_is_logits:
            require(
                bool(strides) and self.decoder_use_sum_merge,
                "decoder_output_is_logits",
                True,
                "False, or decoder_output_stride and decoder_use_sum_merge",
            )
            require(
                self.decoder_filters == self.num_classes,
                "decoder_filters",
                self.decoder_filters,
                f"{self.num_classes} (num_classes) with decoder_output_is_logits",
            )
        if strides is None:
            return
        require(
            self.model_variant != "mobilenet_edgetpu",
            "decoder_output_stride",
            strides,
            "no value: mobilenet_edgetpu defines no features for a decoder",
        )
        descending = strides == tuple(sorted(set(strides), reverse=True)) and len(strides) > 0
        legal = descending and all(s in (4, 8, 16) and s <= self.output_stride for s in strides)
        expected = f"strides of 16, 8, 4, descending, none above output_stride={self.output_stride}"
        require(legal, "decoder_output_stride", strides, expected)
