"""Writes the shards of a data set of the catalogue, for the builders that only have to find its files."""


def build(name, splits, config, **labels):
    """Does what `of_catalog.build` does, which is imported when the files have been found: that takes seconds."""
    from deeplab.data.building import of_catalog

    of_catalog.build(name, splits, config, **labels)
