# Made by scripts/write_stubs.py from model.py, for editors: the help text of every option. Do not edit.
import dataclasses
from typing import Any

from deeplab.config.options import Checked

XCEPTIONS: tuple[str, ...]
RESNETS: tuple[str, ...]
MOBILENETS: tuple[str, ...]
NAS: tuple[str, ...]
MODEL_VARIANTS: tuple[str, ...]
OUTPUT_STRIDES: tuple[int, ...]
PROGRAM_DEFAULTS: dict[str, Any]
RETIRED_MODEL_FLAGS: dict[str, Any]

@dataclasses.dataclass(frozen=True)
class ModelConfig(Checked):
    """Architecture of the network

    Raises a `UserError` at construction when values are illegal or contradict each other.

    Field names and defaults are the reference's (research/deeplab, `ModelOptions` and common.py). `num_classes` and
    `crop_size` are fields here, too; the reference passes them separately. Sizes are (height, width) in pixels.
    """

    model_variant: str = "mobilenet_v2"
    """Backbone of the network. One of xception_41, xception_65, xception_71, resnet_v1_18, resnet_v1_18_beta,
    resnet_v1_50, resnet_v1_50_beta, resnet_v1_101, resnet_v1_101_beta, mobilenet_v2, mobilenet_v3_large_seg,
    mobilenet_v3_small_seg, mobilenet_edgetpu, nas_pnasnet, nas_hnasnet.
    """
    num_classes: int = 21
    """Number of classes. The background is a class, the ignore label is not."""
    num_channels: int = 3
    """Number of channels of the images: 3 for RGB. train takes the number from dataset.json. As in the original,
    ResNets that subtract the mean colour take 0 for the mean of further channels.
    """
    crop_size: tuple[int, ...] | None = None
    """Height and width for which image pooling and resizes are computed. Not given: the size of the image."""
    output_stride: int = 8
    """Side of the input divided by the side of the backbone's output. One of 8, 16, 32."""
    atrous_rates: tuple[int, ...] | None = None
    """Rates of the atrous branches of the ASPP. Not given: no such branches for MobileNet and NAS; for Xception and
    ResNet 3,6,9 at output stride 32, 6,12,18 at 16 and 12,24,36 at 8. train also takes auto: rates in proportion
    to train_crop_size, for every network.
    """
    multi_grid: tuple[int, ...] | None = None
    """Multipliers of the atrous rates inside the last block. Xception, ResNet-50 and ResNet-101 have three units
    there, ResNet-18 has two.
    """
    depth_multiplier: float = 1.0
    """MobileNet: multiplies the number of channels."""
    divisible_by: int | None = None
    """mobilenet_v2: round numbers of channels to multiples of this number."""
    image_pyramid: tuple[float, ...] | None = None
    """Run the network on the image at these scales and merge the logits. Not given: the image as it is."""
    merge_method: str = "max"
    """How the logits of the image pyramid are merged. One of max, avg."""
    add_image_level_feature: bool = True
    """Add image pooling to the ASPP."""
    image_pooling_crop_size: tuple[int, ...] | None = None
    """Height and width of the window of image pooling, in input pixels. Not given: the whole crop."""
    image_pooling_stride: tuple[int, ...] = (1, 1)
    """Vertical and horizontal stride of image pooling, in cells."""
    aspp_with_batch_norm: bool = True
    """Use an ASPP. False: compute the logits as DeepLab v2 does."""
    aspp_with_separable_conv: bool = True
    """Use separable convolutions in the ASPP. False: plain ones."""
    aspp_with_concat_projection: bool = True
    """Project the concatenated branches of the ASPP to aspp_convs_filters channels."""
    aspp_with_squeeze_and_excitation: bool = False
    """Multiply the ASPP by the image pooling branch instead of concatenating them."""
    aspp_convs_filters: int = 256
    """Number of channels of each ASPP branch."""
    image_se_uses_qsigmoid: bool = False
    """Squeeze and excitation: the gate is relu6(x + 3) * 0.16667 instead of a sigmoid."""
    dense_prediction_cell_json: str | None = None
    """Use this dense prediction cell instead of the ASPP: a JSON file, or the published cell `cityscapes`."""
    decoder_output_stride: tuple[int, ...] | None = None
    """Strides at which the decoder refines the features, in descending order, e.g. 4. Not given: no decoder."""
    decoder_use_separable_conv: bool = True
    """Use separable convolutions in the decoder. False: plain ones."""
    decoder_filters: int = 256
    """Number of channels of the decoder's convolutions."""
    decoder_use_sum_merge: bool = False
    """The decoder adds the projected features instead of concatenating them."""
    decoder_output_is_logits: bool = False
    """Use the decoder's output as logits. Needs decoder_use_sum_merge."""
    logits_kernel_size: int = 1
    """Kernel size of the logits convolutions. Other values than 1 need --noaspp_with_batch_norm."""
    use_bounded_activation: bool = False
    """Bound the activations of Xception, ASPP and decoder: relu6 instead of relu, summands clipped to [-6, 6]."""
    prediction_with_upsampled_logits: bool = True
    """Upsample the logits, then choose classes. False: choose classes first, then upsample by nearest neighbour."""
    nas_stem_output_num_conv_filters: int = 20
    """NAS: number of filters of a cell at stride 4."""
    nas_use_classification_head: bool = False
    """Not supported. In the original it adds a classification head."""
    nas_remove_os32_stride: bool = False
    """NAS: stay at stride 16 where the searched network goes to stride 32."""
    drop_path_keep_prob: float = 1.0
    """NAS: probability that a path of the last cell is kept, at the end of the training."""
    label_weights: tuple[float, ...] | None = None
    """Weight of each class in the loss. Not given: all classes weigh 1."""
    fine_tune_batch_norm: bool = True
    """Batch norm uses the statistics of the batch. False (for small batches): it uses the moving averages."""
    batch_norm_warmup: bool = True
    """Moving averages decay with min(decay, (1 + n) / (10 + n)) after n updates, so that short trainings evaluate
    well. False: the decay is constant, exactly as in the reference.
    """
    @property
    def rates(self) -> tuple[int, ...]: ...
    @property
    def logits_stride(self) -> int: ...
