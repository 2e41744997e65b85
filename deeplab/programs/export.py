"""Writes a trained network as files that run without this project: `python -m deeplab.export`."""

from deeplab.errors import UserError


def export(config):
    """Exports one checkpoint as `config`, an `ExportConfig`, says; prints where it is."""
    import tensorflow as tf

    from deeplab.data import catalog
    from deeplab.exporting import formats, model_card
    from deeplab.files import locks
    from deeplab.inference import trained
    from deeplab.inference.predictor import Predictor

    # From what: the network as it was trained, for images padded to the crop size or as large as they come.
    dataset = catalog.load(None, config.dataset_name)
    source = config.checkpoint_path or config.checkpoint_dir
    loaded = trained.load(
        source, config.checkpoint, config.model, config.model_defaults, dataset, config.use_moving_averages
    )
    print(f"{loaded.checkpoint}: {loaded.config.model_variant}, {loaded.config.num_classes} classes")

    # What: the same path as eval, faster.
    trained_one = Predictor(loaded.model, config.crop_size, config.inference_scales, config.add_flipped_images)
    exported = formats.Exported(
        _for_inference(trained_one, config), config, loaded, model_card.image_size(config, loaded)
    )

    # Go: written aside and renamed, so that a server which watches the folder never sees half of it.
    tf.io.gfile.makedirs(config.export_path)
    with locks.hold(config.export_path, "export_path"):
        folder = _write(config, exported, trained_one)
    print(f"Wrote {folder}")
    if config.format == "saved_model":
        print(f"Try it: python -m deeplab.predict --saved_model={folder} --input=IMAGE --output=FOLDER")


def _write(config, exported, trained_one):
    """Writes the next version, verified; returns its folder. Nothing is left behind where that fails."""
    from deeplab.data import catalog
    from deeplab.exporting import formats, model_card
    from deeplab.files import atomic
    from deeplab.inference import exports

    folder = exports.next_path(config.export_path)
    with atomic.new_folder(folder) as unfinished:
        formats.module(config.format).write(unfinished, exported)
        catalog.save(exported.loaded.dataset, unfinished)
        model_card.write(unfinished, config, exported.loaded)
        if config.verify:
            _verify(unfinished, trained_one, exported)
    return folder


def _for_inference(predictor, config):
    """Returns the `Predictor` that is exported: folded, and in the precision that is asked for."""
    from deeplab.exporting import folding
    from deeplab.inference.predictor import Predictor

    if not config.fold_batch_norm:
        return predictor
    with folding.policy(config.precision):
        model = folding.fold(predictor.model, config.precision, _NATIVE_RATE.get(config.format))
        return Predictor(model, config.crop_size, config.inference_scales, config.add_flipped_images)


def _verify(folder, trained_one, exported):
    """Loads the export and compares it with the network that was exported; prints how far they agree.

    Raises:
      UserError: its runtime refuses it, or too few labels are the same.
    """
    import numpy as np

    from deeplab.exporting import formats
    from deeplab.exporting.formats import pictures
    from deeplab.exporting.signatures import Serving

    config = exported.config
    network = Serving(trained_one, config.resize)
    any_size = not config.takes_one_size and config.crop_size is None
    sizes = _VERIFY_SIZES if any_size else [exported.size] * 2
    images = [next(pictures.of_size(exported, 1, size)) for size in sizes]
    try:
        labels = formats.module(config.format).reader(folder, exported)
        equal = [np.mean(labels(image) == network.segment(image)[0].numpy()) for image in images]
    except UserError:
        raise
    except Exception as error:  # whatever a runtime finds wrong with a file
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"--format={config.format}: its own runtime refuses the file ({reason}); not exported"
        ) from None
    print(f"Verified: {100 * np.mean(equal):.3f} % of the labels equal those of the network{_logits(exported, images)}")
    least = _VERIFY_LEAST[config.quantize if config.quantize != "none" else config.precision]
    if min(equal) < least:
        raise UserError(
            f"{folder}: only {100 * min(equal):.2f} % of the labels equal those of the network, "
            f"less than {100 * least:g} %; not exported"
        )


def _logits(exported, images):
    """Returns a text that tells how far the logits are off before they are written; "" for the network itself."""
    import numpy as np

    network = exported.loaded.model
    if exported.predictor.model is network:
        return ""
    model = _runnable_here(exported)
    image = images[0][:, : exported.size[0], : exported.size[1]]
    if exported.predictor.fixed_size and image.shape[1:3] != tuple(exported.predictor.fixed_size):
        return ""
    expected = network(image).numpy()
    return f"; worst logit off by {np.abs(model(image).numpy() - expected).max():.2g} of {np.ptp(expected):.2g}"


def _runnable_here(exported):
    """Returns the folded network, in another form if TensorFlow has no kernel for the form that is written.

    Files for other engines hold dilated depthwise convolutions of every rate. Those engines run them on any processor,
    TensorFlow only on some.
    """
    from deeplab.exporting import folding

    config = exported.config
    if config.format in _NATIVE_RATE and not folding.has_dilated_kernel(config.precision):
        return folding.fold(exported.loaded.model, config.precision)
    return exported.predictor.model


_VERIFY_SIZES = ((97, 129), (130, 90))  # height, width
# Pixels differ where two classes are equal but for rounding; how many are so depends on the images.
_VERIFY_LEAST = {"float32": 0.999, "bfloat16": 0.95, "float16": 0.99, "none": 0.999, "dynamic": 0.9, "int8": 0.8}
_EVERY_RATE = 10**6
_NATIVE_RATE = dict.fromkeys(("tflite", "onnx", "openvino"), _EVERY_RATE)  # see folding: their engines know dilation
