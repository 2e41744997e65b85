"""Options of `deeplab.data_service`."""

import dataclasses

from deeplab.config.options import Checked, option, require


@dataclasses.dataclass(frozen=True)
class DataServiceConfig(Checked):
    """Address"""

    port: int = option(5050, "Port to which trainings connect. 0: any free port, which is printed.")
    host: str | None = option(None, "Name or address at which trainings reach this machine. Not given: its host name.")

    def check(self):
        require(0 <= self.port < 65536, "port", self.port, "0 to 65535")
