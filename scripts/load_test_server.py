"""Loads a running `deeplab.serve`: clients that send images, then malformed requests; prints the server's memory.

    python scripts/load_test_server.py --url=http://localhost:8501 --seconds=120

Exit code 1 if a good request fails, or a malformed one is answered with anything but 4xx or a closed connection.
"""

import argparse
import base64
import collections
import io
import json
import re
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://localhost:8501")
    parser.add_argument("--name", default="deeplab", help="NAME in /v1/models/NAME")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--malformed", type=int, default=1000)
    options = parser.parse_args()
    predict = f"{options.url}/v1/models/{options.name}:predict"
    print(f"memory before: {memory(options.url):.0f} MB")
    good = load(options, predict)
    bad = collections.Counter(ask(*malformed(i, options.url, predict)) for i in range(options.malformed))
    print(f"{options.malformed} malformed requests: {dict(bad)}; memory {memory(options.url):.0f} MB")
    alive = ask(predict, image(48)) == 200
    print("alive" if alive else "no longer alive")
    well = alive and set(good) == {200} and all(400 <= code < 500 or code == 0 for code in bad)
    sys.exit(0 if well else 1)


def load(options, predict):
    """Returns {status: number} of clients that send images of several sizes until the time is up."""
    counts, end = collections.Counter(), time.monotonic() + options.seconds

    def client(number):
        while time.monotonic() < end:
            counts[ask(predict, image(32 + 16 * (number % 3)))] += 1

    threads = [threading.Thread(target=client, args=(i,)) for i in range(options.clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(min(20, max(1, end - time.monotonic())))
        print(f"{sum(counts.values())} requests, {dict(counts)}; memory {memory(options.url):.0f} MB", flush=True)
    return counts


def ask(url, body):
    """Returns the status; 0 for a closed connection."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=120) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def memory(url):
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        return float(re.search(r"^process_resident_memory_bytes (\S+)", answer.read().decode(), re.M)[1]) / 1e6


def image(side):
    return json.dumps({"instances": [[[[x % 256, y % 256, 7] for x in range(side)] for y in range(side)]]}).encode()


def malformed(number, url, predict):
    """Returns (url, body) of one of several kinds."""
    kinds = (
        (predict, b"text"),
        (predict, b'{"instances": [[[[1, 2]]]]}'),
        (predict, b'{"instances": [[[[-1, 2, 3]]]]}'),
        (predict, b'{"instances": [[[[NaN, 2, 3]]]]}'),
        (predict, b"[" * 100_000),
        (predict, b'{"instances": [' + b"0," * 500_000 + b"0]}"),
        (predict, b'{"instances": [{"b64": "' + base64.b64encode(bomb()) + b'"}], "signature_name": "bytes"}'),
        (f"{url}/page/segment", bomb()),
        (f"{url}/page/segment", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"),
        (f"{url}/page/segment", b""),
    )
    return kinds[number % len(kinds)]


def bomb():
    """A PNG of 10,000 x 10,000 pixels in 100 KB."""
    header = (10_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    out.seek(0, io.SEEK_END)
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(10_001 * 1000))), (b"IEND", b"")):
        out.write(len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big"))
    return out.getvalue()


if __name__ == "__main__":
    main()
