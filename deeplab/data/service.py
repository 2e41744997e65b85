"""Batches that other hosts prepare by tf.data service, in the same order as if they were prepared here.

On each host runs `python -m deeplab.data_service`, which is a dispatcher with one worker. Host i of n prepares the
steps i, i + n, ..., and the batches are taken from the hosts in turn. So the stream is a pure function of (seed, step)
whatever the number of hosts. The shards must be readable under the same path on every host.
"""

import socket

import tensorflow as tf

from deeplab.errors import UserError

_CONNECT_SECONDS = 10


def distributed_batches(make_part, addresses):
    """Returns the dataset whose batches the hosts at `addresses` prepare in turn.

    Args:
      make_part: function that maps the number of a host to the dataset of the batches that the host prepares. Its
        graph must hold no Python, since it runs on the host.
      addresses: "grpc://host:port" of each host.

    Raises:
      UserError: no process answers at one of the addresses.
    """
    parts = []
    for number, address in enumerate(addresses):
        _check_reachable(address)
        distribute = tf.data.experimental.service.distribute(
            processing_mode=tf.data.experimental.service.ShardingPolicy.OFF, service=address
        )
        parts.append(make_part(number).prefetch(tf.data.AUTOTUNE).apply(distribute))
    turns = tf.data.Dataset.range(len(parts)).repeat()
    return tf.data.Dataset.choose_from_datasets(parts, turns, stop_on_empty_dataset=True).prefetch(tf.data.AUTOTUNE)


def _check_reachable(address):
    host, _, port = address.removeprefix("grpc://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"--data_service={address}: nobody answers ({error}); start python -m deeplab.data_service there"
        ) from None


def serve(port, host=None):
    """Prepares batches for trainings elsewhere until the process is stopped.

    Args:
      port: where trainings connect to; 0 for any free port, which is printed.
      host: name or address under which trainings reach this machine; None for its name.

    Raises:
      UserError: the port cannot be opened.
    """
    host = host or socket.gethostname()
    try:
        dispatcher, _worker = _start(port, host)  # the worker serves as long as the object exists
    except tf.errors.OpError as error:
        raise UserError(f"--port={port}: cannot be opened: {' '.join(str(error).split())}") from None
    bound = dispatcher.target.rpartition(":")[2]
    print(f"ready: python -m deeplab.train --data_service=grpc://{host}:{bound} ...", flush=True)
    dispatcher.join()


def _start(port, host):
    """Starts a dispatcher on `port` with one worker, which trainings reach at `host`; returns both."""
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    address = dispatcher.target.split("://")[1]
    worker = service.WorkerServer(
        service.WorkerConfig(dispatcher_address=address, worker_address=f"{host}:%port%", heartbeat_interval_ms=1000)
    )
    return dispatcher, worker
