"""Batches prepared on other hosts by tf.data service, in the same order as if they were prepared here.

Every address is a process of `python -m deeplab.data_service`: a dispatcher with one worker. Host i of n prepares the
steps i, i + n, ..., and the batches are taken from the hosts in turn, so the stream stays a pure function of
(seed, step) whatever the number of hosts. The shards must be readable under the same path on every host.
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


def start(port, host):
    """Starts a dispatcher on `port` (0: any free one) with one worker; returns (dispatcher, worker).

    `host` is the name under which the training finds the worker.
    """
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    address = dispatcher.target.split("://")[1]
    worker = service.WorkerServer(
        service.WorkerConfig(dispatcher_address=address, worker_address=f"{host}:%port%", heartbeat_interval_ms=1000)
    )
    return dispatcher, worker
