"""Writes the shards of a data set of the catalogue, for the builders that only have to find its files."""


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
    from deeplab.data.building import of_catalog

    of_catalog.build(name, splits, config, label_format, raw_id_splits)
