"""Writes the shards of a data set whose classes stand in the catalogue."""

from deeplab.data import catalog
from deeplab.data.building import builder
from deeplab.data.building.label_rules import LabelRules


def build(name, splits, config, label_format="index", raw_id_splits=()):
    """Writes shards and dataset.json.

    Args:
      name: the data set's name in `catalog.CATALOG`.
      splits: {split: [`listing.Pair`]}.
      config: a `BuildConfig`.
      label_format: how label files are read, as in `LabelRules`.
      raw_id_splits: splits whose label files hold the ids that Cityscapes is distributed with.

    Raises:
      UserError: as `builder.build`.
    """
    dataset = catalog.CATALOG[name]
    rules = {}
    for split in splits:
        lookup = catalog.cityscapes_train_ids() if split in raw_id_splits else None
        rules[split] = LabelRules(dataset.num_classes, dataset.ignore_label, label_format, lookup)
    builder.build(splits, dataset, rules, config)
