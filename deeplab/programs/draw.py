"""Draws what a checkpoint predicts on a split: `python -m deeplab.vis`."""


def visualize(config):
    """Draws the images of one split as `config`, a `VisConfig`, says."""
    import tensorflow as tf

    from deeplab.evaluation import batches
    from deeplab.pictures.drawing import save_png

    # Where: pictures, and beside them class ids for programs.
    subject = batches.prepare(config, config.vis_split, config.vis_crop_size)
    folder = config.vis_logdir or tf.io.gfile.join(subject.loaded.folder, f"vis_{config.vis_split}")
    pictures = tf.io.gfile.join(folder, "segmentation_results")  # the reference's names
    raw = tf.io.gfile.join(folder, "raw_segmentation_results")

    # Go: one picture an image.
    total = min(len(subject.split), config.max_images or len(subject.split))
    drawing = _painter(subject, config.colormap_type)
    for view in batches.views(subject, config.vis_batch_size, total):
        save_png(_place(pictures, view.filename), drawing(view))
        if config.also_save_raw_predictions:
            save_png(_place(raw, view.filename), *server_ids(view.prediction, subject.split.dataset))
    print(f"Wrote {total} pictures to {pictures}" + (f", class ids to {raw}" * config.also_save_raw_predictions))


def server_ids(labels, dataset):
    """Returns class ids (H, W) as the data set's evaluation server expects them, and their palette or None."""
    import numpy as np

    from deeplab.data import catalog

    if dataset.name == "cityscapes":
        return np.asarray(catalog.CITYSCAPES_RAW_IDS)[labels], None
    return labels, catalog.label_colormap(dataset) if dataset.name == "pascal_voc_seg" else None


def _place(folder, filename):
    """Returns folder/NAME.png for the file name in a record, which may lie in folders; they are made."""
    import tensorflow as tf

    from deeplab.data.building.listing import without_extension

    parts = [part for part in without_extension(filename).split("/") if part not in ("", ".", "..")]
    path = tf.io.gfile.join(folder, *parts) + ".png"
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    return path


def _painter(subject, colormap_type):
    """Returns a function that draws one `evaluation.View`."""
    from deeplab.data import catalog
    from deeplab.pictures import drawing

    dataset = subject.split.dataset
    palette = catalog.CATALOG[_COLORMAPS[colormap_type]] if colormap_type else dataset
    colors = drawing.with_void(catalog.label_colormap(palette), dataset.ignore_label, dataset.num_classes)
    names = [dataset.class_name(label) for label in range(dataset.num_classes)]

    def paint(view):
        tiles = [
            ("image", view.image),
            ("truth", drawing.colorize(view.label, colors)),
            ("prediction", drawing.colorize(view.prediction, colors)),
            ("overlay", drawing.overlay(view.image, view.prediction, colors)),
            (_errors_title(view, dataset), drawing.error_map(view.label, view.prediction, dataset.ignore_label)),
        ]
        return drawing.panel(tiles, drawing.legend([view.label, view.prediction], names, colors, dataset.ignore_label))

    return paint


def _errors_title(view, dataset):
    valid = view.label != dataset.ignore_label
    wrong = (view.label != view.prediction)[valid]
    return f"errors (red): {100 * wrong.mean():.1f} %" if wrong.size else "errors: nothing is labelled"


_COLORMAPS = {"pascal": "pascal_voc_seg", "cityscapes": "cityscapes", "ade20k": "ade20k"}  # --colormap_type: catalogue
