"""Loads a running `deeplab.serve`: clients that send images, then malformed requests; prints the server's memory.

    python scripts/load_test_server.py --url=http://localhost:8501 --seconds=120

Half of the clients send arrays to serving_default, the others files to `bytes` (an export of deeplab.export has both).
Give the server --read_timeout_secs=2 where the slow senders among the malformed ones shall not take long.

    python scripts/load_test_server.py --saved_model=EXPORT

starts servers itself, and prints how many images a second they answer to 1, 4 and 16 clients, beside the same
SavedModel called directly, and what running images together is worth.

    python scripts/load_test_server.py --url=http://localhost:8501 --kept=10000 --clients=1

sends so many images instead, of --side pixels, on one connection for each client, and prints how much longer a request
takes than the network, which the server tells in the header Server-Timing. Exit code 1 if any of them fails.

Exit code 1 if a good request fails, or a malformed one is answered with anything but 4xx or a closed connection.
"""

import argparse
import base64
import collections
import concurrent.futures
import http.client
import json
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8501")
    parser.add_argument("--name", default="deeplab", help="NAME in /v1/models/NAME")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--kept", type=int, default=0, help="requests on kept connections")
    parser.add_argument("--side", type=int, default=65, help="height and width of the images of --kept")
    parser.add_argument("--malformed", type=int, default=1000)
    parser.add_argument("--saved_model", help="an export: prints the table of its throughput, and no more")
    options = parser.parse_args()
    if options.saved_model:
        from deeplab.benchmarks import server_batching

        server_batching.print_load(options.saved_model)
        return
    predict = f"{options.url}/v1/models/{options.name}:predict"
    if options.kept:
        sys.exit(keep(options))
    print(f"memory before: {memory(options.url):.0f} MB")
    good = load(options, predict)
    bad = annoy(options, predict)
    print(f"{options.malformed} malformed requests: {dict(bad)}; memory {memory(options.url):.0f} MB")
    alive = ask(predict, image(48)) == 200
    print("alive" if alive else "no longer alive")
    well = alive and set(good) == {200} and all(400 <= code < 500 or code == 0 for code in bad)
    sys.exit(0 if well else 1)


def keep(options):
    """Sends images on kept connections and prints milliseconds; returns the exit code."""
    body, numbers = file(png(options.side, options.side)), iter(range(options.kept))
    address = urllib.parse.urlsplit(options.url).netloc
    taken, own, failed = [], [], collections.Counter()

    def client():
        connection = http.client.HTTPConnection(address, timeout=120)
        for _number in numbers:
            start = time.perf_counter()
            try:
                connection.request("POST", f"/v1/models/{options.name}:predict", body)
                answer = connection.getresponse()
                answer.read()
            except OSError as error:
                failed[type(error).__name__] += 1
                connection.close()
                continue
            taken.append(1000 * (time.perf_counter() - start))
            timing = re.search(r"network;dur=([\d.]+)", answer.headers.get("Server-Timing", ""))
            if answer.status == http.client.OK and timing:
                own.append(taken[-1] - float(timing[1]))
            else:
                failed[answer.status] += 1

    threads = [threading.Thread(target=client) for _ in range(options.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{len(own)} requests answered on {options.clients} connections; failed: {dict(failed)}")
    for what, values in (("request", taken), ("request without the network", own)):
        values = sorted(values) or [0.0]
        print(
            f"{what}: median {values[len(values) // 2]:.2f} ms, 99 of 100 in {values[99 * len(values) // 100]:.2f} ms"
        )
    return 1 if failed or len(own) < options.kept else 0


def load(options, predict):
    """Returns {status: number} of clients that send images of several sizes until the time is up."""
    counts, end = collections.Counter(), time.monotonic() + options.seconds

    def client(number):
        while time.monotonic() < end:
            size = 32 + 16 * (number % 3)
            counts[ask(predict, image(size) if number % 2 else file(png(size, size)))] += 1

    threads = [threading.Thread(target=client, args=(i,)) for i in range(options.clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(min(20, max(1, end - time.monotonic())))
        print(f"{sum(counts.values())} requests, {dict(counts)}; memory {memory(options.url):.0f} MB", flush=True)
    return counts


def annoy(options, predict):
    """Returns {status: number} of malformed requests, 8 at a time; every twentieth is a slow sender."""
    bodies = malformed(options.url, predict)

    def one(number):
        if number % 20 == 0:
            return send_slowly(predict)
        return ask(*bodies[number % len(bodies)])

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        return collections.Counter(threads.map(one, range(options.malformed)))


def send_slowly(url):
    """Announces a body and sends one byte of it; returns the status, 0 for a closed connection."""
    address = urllib.parse.urlsplit(url)
    try:
        with socket.create_connection((address.hostname, address.port), timeout=120) as connection:
            head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: 1000\r\n\r\n{{"
            connection.sendall(head.encode())
            return int((connection.recv(100).split() or [b"", b"0"])[1])
    except OSError:
        return 0


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


def file(content):
    return json.dumps({"instances": [{"b64": base64.b64encode(content).decode()}], "signature_name": "bytes"}).encode()


def malformed(url, predict):
    """Returns [(url, body)], one of each kind."""
    page, bomb = f"{url}/page/segment", png(10_000, 10_000)
    truncated_jpeg = base64.b64decode(_JPEG)[:-40]
    arrays = ("[[[[1, 2]]]]", "[[[[-1, 2, 3]]]]", "[[[[NaN, 2, 3]]]]", "[[[[1, 2, 3]], [[1, 2, 3], [1, 2, 3]]]]", "[]")
    nonsense = [f'{{"instances": {array}}}'.encode() for array in arrays]
    nonsense += [b"text", b"[" * 100_000, b'{"instances": [' + b"0," * 2_000_000 + b"0]}", b'{"inputs": {"a": 1}}']
    nonsense += [file(bomb), file(truncated_jpeg), file(png(9, 9)[:50]), file(b"text")]
    nonsense += [b'{"instances": [[[[1, 2, 3]]]], "signature_name": "none"}', b'{"inputs": ' + b"9" * 100_000 + b"}"]
    return [(predict, body) for body in nonsense] + [(page, body) for body in (bomb, truncated_jpeg, b"text", b"")]


def png(height, width):
    """Returns a black PNG file; 10,000 x 10,000 pixels are 100 KB."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    data = zlib.compress(bytes((width + 1) * height))
    content = b"\x89PNG\r\n\x1a\n"
    for kind, part in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        content += len(part).to_bytes(4, "big") + kind + part + zlib.crc32(kind + part).to_bytes(4, "big")
    return content


# 24 x 24 pixels of grey noise
_JPEG = """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8ybqmx5moq6
T/wAALCAAYABgBAREA/8QAFgABAQEAAAAAAAAAAAAAAAAAAgED/8QAJxAAAgIBAgUDBQAAAAAAAAAAAQIDESEAEgQTMUFhIlFxI1KBseH/2gAIAQEAAD8A
rvw8hMYllWNUD8skqSFPz1IBPnqaq9FSytHw81PtChks0DRKg1d9LsDv4rVlZW2KRIrbd55ilycYFHqM5H9rOBnDCKSxKkoAjibDULojJrvnvd1ekrwwoY
pSFJYEX7UDgHz+tWQyRbELb6cCN1UHbQogC7xWPN376fEpDynl4lShY5+7B2+fIJ77vzrBjhAPpSLIwQN6rawVYknyRdkfOnKfQmwnnsBs3gg1QUDGLyTj
I1//2Q==
"""

if __name__ == "__main__":
    main()
