"""The facts of a data set about the channels of its images, which stand in its dataset.json."""

import dataclasses

from deeplab.data.channels import value_range
from deeplab.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Channels:
    """The base of `catalog.Dataset`.

    Attributes:
      num_channels: of the images.
      value_range: which values of the images become 0 and 255, see `value_range`; () where they have 8 bits.
      bands: numbers, from 1, of the bands of image files that are the channels; () takes image files as RGB.
    """

    num_channels: int = 3
    value_range: tuple | str = ()
    bands: tuple = ()

    def check_channels(self):
        """Brings the facts into their form; raises a UserError if they contradict each other."""
        object.__setattr__(self, "bands", tuple(int(band) for band in self.bands))
        if self.num_channels < 1 or (len(self.bands) or 3) != self.num_channels or min(self.bands, default=1) < 1:
            expected = f"num_channels={self.num_channels} numbers from 1, or none for 3 channels"
            raise UserError(f"bands={list(self.bands)}: expected {expected}")
        object.__setattr__(self, "value_range", value_range.checked(self.value_range, self.num_channels))

    @property
    def stores_bands(self):
        """Tells whether records hold images as `stored` does, in place of JPEG and PNG files of RGB."""
        return self.num_channels != 3 or bool(self.value_range)

    @property
    def reads_bands(self):
        """Tells whether image files are read band by band, with `pictures.bands`, in place of as RGB of 8 bits."""
        return bool(self.bands) or self.stores_bands

    @property
    def channel_facts(self):
        """The facts as a dict."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Channels)}


def difference(first, second):
    """Returns in words how the images of two data sets differ, or "" if a network takes both."""
    if first.num_channels != second.num_channels:
        return f"{first.num_channels} channels, not {second.num_channels}"
    if first.value_range != second.value_range:
        return f"the value range {_told(first.value_range)}, not {_told(second.value_range)}"
    if first.bands and second.bands and first.bands != second.bands:
        return f"the bands {_told(first.bands)}, not {_told(second.bands)}"
    return ""


def require_same(trained, dataset, network, dataset_dir):
    """Refuses to run a network on images with other channels or another range of values than it was trained on.

    Args:
      trained: the `catalog.Dataset` that the network was trained on.
      dataset: the one that it is to run on.
      network, dataset_dir: the paths that the user named, for the message.

    Raises:
      UserError: `difference` finds a difference.
    """
    found = difference(trained, dataset)
    if found:
        place = f"{dataset.name} in {dataset_dir}" if dataset_dir else dataset.name
        way_out = "build the data set with the same --bands and --value_range"
        raise UserError(f"{network} does not take the images of {place}: it has {found}; {way_out}")


def _told(values):
    if isinstance(values, str):
        return values
    return ",".join(f"{value:g}" for value in values) or "of 8 bits"


def with_channels(dataset, num_channels):
    """Returns a data set, or None, whose images have so many channels: the first bands of files, if it has others."""
    if dataset is None or dataset.num_channels == num_channels:
        return dataset
    bands = tuple(range(1, num_channels + 1))
    return dataclasses.replace(dataset, num_channels=num_channels, bands=bands, value_range=())


def written(facts):
    """Returns the facts of a data set for its dataset.json, whose fields for channels stand at its end.

    A data set of RGB of 8 bits has none of these fields, so that older versions read the file, too.
    """
    names = [field.name for field in dataclasses.fields(Channels)]
    others = {name: value for name, value in facts.items() if name not in names}
    own = {name: facts[name] for name in names}
    return others if own == dataclasses.asdict(Channels()) else others | own
