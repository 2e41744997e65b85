"""Prepares training batches on this machine for trainings elsewhere (tf.data service).

    python -m deeplab.data_service --port=5050          # on each helping host
    python -m deeplab.train --data_service=grpc://host1:5050,grpc://host2:5050 ...

The shards must be readable under the same path here. Stop it with Ctrl-C.
"""

from deeplab import cli
from deeplab.config.data_service import DataServiceConfig


def serve(config):
    """Serves as `config`, a `DataServiceConfig`, says, until the process is stopped."""
    from deeplab.data import service

    service.serve(config.port, config.host)


def main():
    """Runs the command line."""
    cli.main(serve, DataServiceConfig)


if __name__ == "__main__":
    main()
