"""Prepares training batches on this machine for trainings elsewhere (tf.data service).

    python -m deeplab.data_service --port=5050          # on each helping host
    python -m deeplab.train --data_service=grpc://host1:5050,grpc://host2:5050 ...

The shards must be readable under the same path here. Stop it with Ctrl-C.
"""

import dataclasses

from deeplab import cli
from deeplab.config.options import Checked, option, require


@dataclasses.dataclass(frozen=True)
class DataServiceConfig(Checked):
    """Where to listen"""

    port: int = option(5050, "Port that trainings connect to; 0: any free one, which is printed.")
    host: str | None = option(None, "Name or address under which trainings reach this machine; not given: its name.")

    def check(self):
        require(0 <= self.port < 65536, "port", self.port, "0 to 65535")


def serve(config):
    """Serves until the process is stopped."""
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
