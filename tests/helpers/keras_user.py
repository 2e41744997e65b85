"""The first lines of somebody who knows Keras, for each family of backbones, with short networks.

Run as a program, it is the fresh process in which the saved networks are loaded: FOLDER and what is imported first.
"""

import functools
import pathlib
import sys

FAMILIES = {  # variant: options with which it is small
    "mobilenet_v2": {"depth_multiplier": 0.25, "decoder_output_stride": (4,)},
    "mobilenet_v3_large_seg": {"depth_multiplier": 0.25, "aspp_with_squeeze_and_excitation": True},
    "mobilenet_edgetpu": {"depth_multiplier": 0.25},
    "xception_65": {"decoder_output_stride": (4,)},
    "resnet_v1_50_beta": {"decoder_output_stride": (4,)},
    "nas_hnasnet": {"nas_stem_output_num_conv_filters": 8, "output_stride": 8, "drop_path_keep_prob": 0.9},
}
NAS_LEVELS = {"nas_hnasnet": {8: (1, 2, 1)}}  # as levels of `nas.Network`: down and up again
SMALL = {"output_stride": 16, "aspp_convs_filters": 16, "decoder_filters": 16}


def shorten():
    """Shortens the networks of all families in this process; returns the table of the whole ones."""
    from deeplab.model import backbones
    from helpers.short_networks import shortened

    whole = dict(backbones.BACKBONES)
    backbones.BACKBONES.update({name: shortened(backbones.BACKBONES[name], 2) for name in FAMILIES})
    for name, levels in NAS_LEVELS.items():
        short = backbones.BACKBONES[name]
        build = functools.partial(short.build.func, short.build.args[0]._replace(levels=levels, taps={}))
        backbones.BACKBONES[name] = short._replace(build=build)
    return whole


def build(variant, **options):
    """Builds the short network of a family with three classes, whose logits differ from pixel to pixel."""
    import deeplab
    from helpers.short_networks import randomize

    model = deeplab.build_model(variant, **{"num_classes": 3, **SMALL, **FAMILIES[variant], **options})
    randomize(model)
    return model


def main(folder, first):
    if first == "keras":
        import keras

        import deeplab
    else:
        import deeplab

        assert not {"tensorflow", "keras"} & set(sys.modules), "import deeplab loads TensorFlow or Keras"
        import keras
    assert "deeplab.layers.basic" not in sys.modules
    import numpy as np

    images = np.load(f"{folder}/images.npy")
    loaded = []
    for path in sorted(pathlib.Path(folder).glob("*.keras")):
        if not loaded:
            _shorten_when_asked()
        elif first == "deeplab":  # one is enough to see that Keras finds the classes
            break
        model = keras.models.load_model(path)
        np.testing.assert_array_equal(model(images), np.load(path.with_suffix(".npy")))
        deeplab.predict_labels(model, images)
        loaded.append(path.stem)
    print("equal logits:", *loaded)


def _shorten_when_asked():
    """Shortens the networks while Keras looks for the first class, so that its stand-in still does the work."""
    from deeplab import registry

    whole = registry.importlib.import_module

    def import_module(name):
        shorten()
        return whole(name)

    registry.importlib = type("importlib", (), {"import_module": staticmethod(import_module)})


if __name__ == "__main__":
    main(*sys.argv[1:])
