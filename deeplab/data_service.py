"""Prepares batches on this machine for trainings on other machines (tf.data service).

    python -m deeplab.data_service --port=5050          # on host1 and host2
    python -m deeplab.train --data_service=grpc://host1:5050,grpc://host2:5050 ...

The shards must have the same path on all machines. Stop the program with Ctrl-C.
"""

import dataclasses

from deeplab import cli
from deeplab.config.options import Checked, option, require


@dataclasses.dataclass(frozen=True)
class DataServiceConfig(Checked):
    """Address"""

    port: int = option(5050, "Port to which trainings connect. 0: any free port, which is printed.")
    host: str | None = option(None, "Name or address at which trainings reach this machine. Not given: its host name.")

    def check(self):
        require(0 <= self.port < 65536, "port", self.port, "0 to 65535")


def serve(config):
    """Serves batches at the address that `config`, a `DataServiceConfig`, names, until the process is stopped."""
    import socket

    import tensorflow as tf

    from deeplab.data import service
    from deeplab.errors import UserError

    host = config.host or socket.gethostname()
    try:
        dispatcher, _worker = service.start(config.port, host)
    except tf.errors.OpError as error:
        raise UserError(f"--port={config.port}: cannot be opened: {' '.join(str(error).split())}") from None
    port = dispatcher.target.rpartition(":")[2]
    print(f"ready: python -m deeplab.train --data_service=grpc://{host}:{port} ...", flush=True)
    dispatcher.join()


def main():
    """Runs the command line."""
    cli.main(serve, DataServiceConfig)


if __name__ == "__main__":
    main()
