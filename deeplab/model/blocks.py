"""Convolution, batch norm and activation, and the separable pair: every backbone and head is built from these.

A `Blocks` knows its scope in the reference and the habits of its family (epsilon, initialiser, padding). Asking twice
for the same scope gives the same layer. So the scales of an image pyramid share their weights, and so does a model that
is built again for another image size.
"""

import dataclasses
import math
from typing import Any

from tensorflow import keras

from deeplab.config.model import ModelConfig
from deeplab.layers.basic import Activation, Conv, DepthwiseConv, SeparableConv, Sum
from deeplab.layers.batch_norm import BatchNorm
from deeplab.model.names import layer_name


@dataclasses.dataclass(frozen=True)
class Style:
    """The habits of one family of layers. The numbers are the reference's."""

    epsilon: float  # of batch norm
    decay: float  # of batch norm's moving averages
    initializer: keras.initializers.Initializer | str = "glorot_uniform"  # of plain convolutions
    depthwise_initializer: keras.initializers.Initializer | str = "glorot_uniform"
    pointwise_initializer: keras.initializers.Initializer | str = "glorot_uniform"  # of split separable convolutions
    padding: str = "same"  # of strided convolutions: "same" or "explicit"
    activation: str | None = "relu"
    preactivated: bool = False  # units begin with their activation, so it and the next unit's sum read the same tensor


def truncated_normal(stddev):
    """Returns the reference's truncated normal initialiser, which is cut at two standard deviations."""
    return keras.initializers.TruncatedNormal(stddev=stddev)


@dataclasses.dataclass
class Parts:
    """What a network is built from, and what is noted while it is built; the model keeps it as `model.parts`.

    Attributes:
      config: the `ModelConfig`.
      layers: {name: layer}. Networks that are built from the same dict share their weights.
      convolutions: (layer, shape of its output) of every convolution of this network, in order; the cost is counted
        from it.
      head_inputs: per pyramid scale, a list of (stride, backbone feature).
      scaled: {scale: model} of the networks that `views.at_scale` has made.
      upsample_logits: whether the network's output has the size of its input.
      record: what is known about the training of the weights, a JSON object that `.keras` files carry; {} if nothing.
      backbone: the `keras.Model` that `model.backbone` gives, once it was asked for.
    """

    config: ModelConfig
    layers: dict[str, keras.layers.Layer] = dataclasses.field(default_factory=dict)
    convolutions: list[tuple[keras.layers.Layer, tuple]] = dataclasses.field(default_factory=list)
    head_inputs: list[list[tuple[int, Any]]] = dataclasses.field(default_factory=list)
    scaled: dict[float, keras.Model] = dataclasses.field(default_factory=dict)
    upsample_logits: bool = False
    record: dict[str, Any] = dataclasses.field(default_factory=dict)
    backbone: keras.Model | None = None

    def layer(self, scope, make):
        """Returns the layer of a scope of the reference, made by `make(name=...)` if there is none yet."""
        name = layer_name(scope)
        if name not in self.layers:
            self.layers[name] = make(name=name)
        return self.layers[name]


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Builds layers below one scope of the reference, in one style."""

    parts: Parts
    style: Style
    scope: str = ""

    @property
    def config(self):
        """The `ModelConfig` of the network."""
        return self.parts.config

    def within(self, scope, **style):
        """Returns the same builder one scope further down; keywords change its style."""
        return dataclasses.replace(self, scope=self._path(scope), style=dataclasses.replace(self.style, **style))

    def _path(self, scope):
        return "/".join(part for part in (self.scope, scope) if part)

    def layer(self, scope, make):
        """Returns the layer of `scope`, made by `make(name=...)` if there is none yet."""
        return self.parts.layer(self._path(scope), make)

    def conv(self, x, scope, filters, kernel_size=1, norm=True, **how):
        """Convolution, batch norm and activation. Without `norm` the convolution has a bias instead of batch norm.

        `how`: stride, rate, padding and initializer of the convolution; activation, which is the style's where it is
        not given, and None for no activation.
        """
        activation = how.pop("activation", self.style.activation)
        x = self.conv_only(x, scope, filters, kernel_size, use_bias=not norm, **how)
        return self.normed(x, scope, activation) if norm else self.activate(x, activation)

    def conv_only(self, x, scope, filters, kernel_size=1, **how):
        """The convolution alone; it has no bias unless asked for."""
        how = {"padding": self.style.padding, "initializer": self.style.initializer, **how}
        return self._convolve(x, scope, lambda name: Conv(filters, kernel_size, name=name, **how))

    def depthwise(self, x, scope, kernel_size=3, **how):
        """Depthwise convolution, batch norm, activation; arguments as of `conv`."""
        activation = how.pop("activation", self.style.activation)
        how = {"padding": self.style.padding, "initializer": self.style.depthwise_initializer, **how}
        x = self._convolve(x, scope, lambda name: DepthwiseConv(kernel_size, name=name, **how))
        return self.normed(x, scope, activation)

    def split_separable(self, x, scope, filters, rate=1, kernel_size=3, norm=True):
        """Separable convolution with batch norm and activation after both halves (ASPP, decoder)."""
        x = self.depthwise(x, f"{scope}_depthwise", kernel_size, rate=rate)
        return self.conv(x, f"{scope}_pointwise", filters, norm=norm, initializer=self.style.pointwise_initializer)

    def fused_separable(self, x, scope, filters, kernel_size, stride=1):
        """Separable convolution with nothing between its halves and nothing after (NAS cells)."""
        how = {"stride": stride, "padding": self.style.padding, "initializer": self.style.initializer}
        return self._convolve(x, scope, lambda name: SeparableConv(filters, kernel_size, name=name, **how))

    def _convolve(self, x, scope, make):
        layer = self.layer(scope, make)
        x = layer(x)
        self.parts.convolutions.append((layer, tuple(x.shape)))
        return x

    def normed(self, x, scope, activation=None, norm_scope="BatchNorm"):
        """Batch norm in a scope below `scope` (with `norm_scope` "" in the scope itself), then the activation."""
        style, config = self.style, self.config
        path = f"{scope}/{norm_scope}" if norm_scope else scope
        settings = {"warmup": config.batch_norm_warmup, "frozen": not config.fine_tune_batch_norm}
        settings["activation"] = activation
        return self.layer(path, lambda name: BatchNorm(style.epsilon, style.decay, name=name, **settings))(x)

    def add(self, x, shortcut):
        """Adds two tensors of one shape: the end of a residual unit."""
        add = Sum if self.style.preactivated else keras.layers.Add
        return add()([x, shortcut])

    def activate(self, x, activation):
        """Applies one of `activations.ACTIVATIONS`; None leaves x as it is."""
        return x if activation is None else Activation(activation)(x)


def he_initializer(factor=2.0):
    """Returns the ResNet initialiser: truncated normal with stddev sqrt(1.3 * factor / fan_in)."""
    return _FanIn(math.sqrt(1.3 * factor))


@keras.utils.register_keras_serializable("deeplab")
class _FanIn(keras.initializers.Initializer):
    """Truncated normal with stddev `gain / sqrt(fan_in)`, fan_in = k * k * in of the kernel's shape."""

    def __init__(self, gain, seed=None):
        self.gain, self.seed = gain, seed

    def __call__(self, shape, dtype=None, **kwargs):
        stddev = self.gain / math.sqrt(math.prod(shape[:-1]))
        return keras.initializers.TruncatedNormal(stddev=stddev, seed=self.seed)(shape, dtype=dtype)

    def get_config(self):
        return {"gain": self.gain, "seed": self.seed}
