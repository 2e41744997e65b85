"""Options of `deeplab.data_service`."""

import dataclasses

from deeplab.config.options import Checked, option, require


@dataclasses.dataclass(frozen=True)
class DataServiceConfig(Checked):
    """Where to listen"""

    port: int = option(5050, "Port that trainings connect to; 0: any free one, which is printed.")
    host: str | None = option(None, "Name or address under which trainings reach this machine; not given: its name.")

    def check(self):
        require(0 <= self.port < 65536, "port", self.port, "0 to 65535")
