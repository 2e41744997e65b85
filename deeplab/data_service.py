"""Prepares batches on this machine for trainings on other machines (tf.data service).

    python -m deeplab.data_service --port=5050          # on host1 and host2
    python -m deeplab.train --data_service=grpc://host1:5050,grpc://host2:5050 ...

The shards must have the same path on all machines. Stop the program with Ctrl-C.
"""

from deeplab import cli
from deeplab.config.data_service import DataServiceConfig


def serve(config):
    """Serves batches at the address that `config`, a `DataServiceConfig`, names, until the process is stopped."""
    from deeplab.data import service

    service.serve(config.port, config.host)


def main():
    """Runs the command line."""
    cli.main(serve, DataServiceConfig)


if __name__ == "__main__":
    main()
