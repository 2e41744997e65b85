"""Draws what a checkpoint predicts on a split: image | truth | prediction | overlay, with a legend.

    python -m deeplab.vis --checkpoint_dir=TRAIN_LOGDIR --dataset_dir=SHARDS

writes one PNG an image into segmentation_results/ of --vis_logdir, and with --also_save_raw_predictions the class ids
into raw_segmentation_results/.
"""

from deeplab import cli
from deeplab.config.inference import VisConfig


def visualize(config):
    """Draws the images of one split as `config`, a `VisConfig`, says."""
    import tensorflow as tf

    from deeplab import evaluation
    from deeplab.visualize import save_png

    # Where: pictures, and beside them class ids for programs.
    subject = evaluation.prepare(config, config.vis_split, config.vis_crop_size)
    folder = config.vis_logdir or tf.io.gfile.join(subject.loaded.folder, f"vis_{config.vis_split}")
    pictures = tf.io.gfile.join(folder, "segmentation_results")  # the reference's names
    raw = tf.io.gfile.join(folder, "raw_segmentation_results")
    tf.io.gfile.makedirs(pictures)
    if config.also_save_raw_predictions:
        tf.io.gfile.makedirs(raw)

    # Go: one picture an image.
    total = min(len(subject.split), config.max_images or len(subject.split))
    draw = _painter(subject, config.colormap_type)
    for view in evaluation.views(subject, config.resize, config.vis_batch_size, total):
        save_png(tf.io.gfile.join(pictures, f"{view.filename}.png"), draw(view))
        if config.also_save_raw_predictions:
            save_png(tf.io.gfile.join(raw, f"{view.filename}.png"), subject.raw_ids(view.prediction))
    print(f"Wrote {total} pictures to {pictures}" + (f", class ids to {raw}" * config.also_save_raw_predictions))


def _painter(subject, colormap_type):
    """Returns a function that draws one `evaluation.View`."""
    from deeplab import visualize as draw
    from deeplab.data import catalog

    dataset = subject.split.dataset
    palette = catalog.CATALOG[_COLORMAPS[colormap_type]] if colormap_type else dataset
    colors = draw.with_void(catalog.label_colormap(palette), dataset.ignore_label, dataset.num_classes)
    names = [dataset.class_name(label) for label in range(dataset.num_classes)]

    def paint(view):
        tiles = [
            ("image", view.image),
            ("truth", draw.colorize(view.label, colors)),
            ("prediction", draw.colorize(view.prediction, colors)),
            ("overlay", draw.overlay(view.image, view.prediction, colors)),
        ]
        return draw.panel(tiles, draw.legend([view.label, view.prediction], names, colors, dataset.ignore_label))

    return paint


_COLORMAPS = {"pascal": "pascal_voc_seg", "cityscapes": "cityscapes", "ade20k": "ade20k"}  # --colormap_type: catalogue


def main():
    cli.main(visualize, VisConfig)


if __name__ == "__main__":
    main()
