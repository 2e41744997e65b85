"""Options of models, the program that lists the published weights and fetches them."""

import dataclasses

from deeplab.config.options import Checked, option
from deeplab.config.published import files


@dataclasses.dataclass(frozen=True)
class ModelsConfig(Checked):
    """Published weights"""

    download: str | None = option(
        None, "Fetch these weights into the cache, unless they are there: a name of the table."
    )

    def check(self):
        if self.download is not None:
            files.named(self.download)
