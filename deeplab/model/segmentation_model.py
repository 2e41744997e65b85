"""What a network is to Keras: a model that remembers its parts, knows its backbone, and can be saved and cloned.

Keras saves the configuration of the network, an object of a few dozen numbers, in place of the graph of its layers.
Reading it builds the network again as `build_model` built it, with everything that this project needs to know of it.
"""

import contextlib
import dataclasses
import json

from tensorflow import keras

from deeplab.config.model import ModelConfig
from deeplab.config.options import from_json
from deeplab.errors import UserError
from deeplab.model.blocks import Parts
from deeplab.model.heads import dense_prediction_cell

FIRST_LAYER = "pixels"  # every network has it
_FIELDS = {"name", "trainable", "dtype", "model", "input_shape", "upsample_logits", "frozen", "record"}


class SegmentationModel(keras.Model):
    """A functional keras.Model of images -> logits. Its subclass says how it is built again.

    Attributes:
      parts: the `Parts` that the network was built from: its configuration and its layers by name. There is no such
        attribute if Keras made the model from layers in which the network of `build_model` is not recognised.
    """

    def __init__(self, inputs, outputs, name=None, *, parts=None, **kwargs):
        # Keras makes clones by this constructor, without `parts`: arguments by position are those of keras.Model.
        if parts is None:
            parts, inputs, outputs = self.recognised(inputs, outputs)
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)
        self.supports_jit = False  # XLA compiles the parts that gain by it, see `layers.hardware`; the whole takes long
        if parts is not None:
            self.parts = parts
            marker = parts.layers[FIRST_LAYER]
            marker.network = marker.network or self._description()

    @staticmethod
    def recognised(inputs, outputs):
        """Returns (`Parts` or None, inputs, outputs) of a network that Keras built from clones of our layers."""
        return None, inputs, outputs

    @property
    def config(self) -> ModelConfig:
        """The `ModelConfig` that the network was built from."""
        return self.parts.config

    @property
    def backbone(self) -> keras.Model:
        """The backbone as a keras.Model of the same layers: images -> features, those for the decoder included.

        Its output is a tensor, or a list if a decoder or an image pyramid reads several features. What is set here is
        set in the network: `model.backbone.trainable = True`.
        """
        if self.parts.backbone is None:
            features = [feature for scale in self.parts.head_inputs for _stride, feature in scale]
            outputs = features if len(features) > 1 else features[0]
            self.parts.backbone = keras.Model(self.input, outputs, name=f"{self.config.model_variant}_backbone")
        return self.parts.backbone

    def freeze_backbone(self) -> None:
        """Trains the head only, until `model.backbone.trainable = True`. Compile the model afterwards.

        The weights of the backbone stay as they are, and its batch norms use their moving averages in training, too, as
        with the flag `--freeze_backbone_steps`.
        """
        self.backbone.trainable = False

    def get_config(self):
        """Returns the JSON object that `from_config` builds an equal network from; it holds no weights."""
        if not hasattr(self, "parts"):
            return super().get_config()
        layers = self.parts.layers
        return {
            **self._description(),
            "name": self.name,
            "trainable": self.trainable,
            "dtype": _policy_name(layers[FIRST_LAYER]),
            "input_shape": list(self.input_shape[1:]),
            "frozen": [name for name, layer in layers.items() if not layer.trainable],
            "record": self.parts.record,
        }

    def _description(self):
        """Returns the part of `get_config` that tells the network, which its first layer remembers for clones."""
        model = dataclasses.asdict(portable(self.config))
        return {"model": json.loads(json.dumps(model)), "upsample_logits": self.parts.upsample_logits}


def rebuilt(config, build_from):
    """Returns the network that `SegmentationModel.get_config` described, with new weights.

    Args:
      config: what `get_config` returned.
      build_from: the function `network.build_from`.

    Raises:
      UserError: the description is damaged, or a newer version wrote it.
    """
    unknown = sorted(set(config) - _FIELDS)
    if unknown:
        raise UserError(
            f"the saved network has {unknown[0]!r}, which this version does not know; use the version of deeplab that "
            "wrote it"
        )
    parts = described(config)
    parts.record = dict(config.get("record") or {})
    with _policy(config.get("dtype") or "float32"):
        model = build_from(parts, tuple(config.get("input_shape") or (None, None, parts.config.num_channels)))
    model.trainable = config.get("trainable", True)
    for name in config.get("frozen", ()) if model.trainable else ():
        if name in parts.layers:
            parts.layers[name].trainable = False
    return model


def described(description) -> Parts:
    """Returns new `Parts`, without layers, for what `SegmentationModel.get_config` said of a network."""
    config = from_json(ModelConfig, description["model"], "the saved network")
    return Parts(config, upsample_logits=bool(description.get("upsample_logits")))


def portable(config: ModelConfig) -> ModelConfig:
    """Returns the configuration with the content of the file that it names, a dense prediction cell, in its place."""
    cell = config.dense_prediction_cell_json
    if not cell or cell in dense_prediction_cell.PUBLISHED or cell.lstrip().startswith("["):
        return config
    branches = [branch._asdict() for branch in dense_prediction_cell.read(cell)]
    return dataclasses.replace(config, dense_prediction_cell_json=json.dumps(branches))


def _policy_name(layer):
    """Returns the name of the types that a layer computes and keeps weights in, such as "mixed_bfloat16"."""
    return getattr(layer, "dtype_policy" if hasattr(layer, "dtype_policy") else "_dtype_policy").name  # else tf_keras


@contextlib.contextmanager
def _policy(name):
    """Layers that are created inside the `with` have the policy of this name."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)
