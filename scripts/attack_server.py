"""Attacks a server that it starts on 127.0.0.1 itself, while honest clients and a probe of /healthz measure it.

    python scripts/attack_server.py --saved_model=EXPORT
    python scripts/attack_server.py --checkpoint=mobilenetv2_dm05_voc/model.ckpt-30000    # exports it first

The server may take 8 GB of address space. Attacks are files of a few bytes that ask for gigabytes, requests that ask
for minutes, broken HTTP, slow and idle connections, and strangers: `server_attacks/kinds.py` has the list. Nothing is
sent to any other address.

Exit code 1 if the server ends, an honest request (an image of 257x257 pixels) fails or its 99th percentile is over 2 s,
that of /healthz is over 0.2 s, a bad request gets anything but one line with 4xx or 503, or memory at the end is more
than 10 % above its level after the warm-up.
"""

import argparse
import multiprocessing
import secrets
import signal
import sys
import tempfile
import time

from server_attacks import attacker, honest, process
from server_attacks.kinds import Target

HONEST_SECS, HEALTH_SECS, GROWTH = 2.0, 0.2, 1.1  # bounds of the 99th percentiles, and of memory at the end
_WARM_UP_SECS = 5.0
_SETTLE_SECS = 5.0  # after the attacks, before memory is looked at


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--saved_model", help="an export")
    source.add_argument("--checkpoint", help="the published mobilenet_v2 with depth multiplier 0.5, which is exported")
    parser.add_argument("--seconds", type=float, default=60, help="of attacks")
    parser.add_argument("--clients", type=int, default=4, help="honest ones")
    parser.add_argument("--server_flag", action="append", default=[], help="a further flag of the server")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that no server stays behind
    with tempfile.TemporaryDirectory() as folder:
        if options.checkpoint:
            process.export(options.checkpoint, folder)
        problems = attack(options, options.saved_model or folder)
    print("\n".join(f"FAULT  {line}" for line in problems) or "The server holds.")
    sys.exit(1 if problems else 0)


def attack(options, saved_model):
    """Runs everything, prints the table, and returns what is wrong, as a list of lines."""
    token = secrets.token_hex(16)
    with process.Server(saved_model, token, options.server_flag) as server:
        if server.address is None:
            return [f"the server did not start: {''.join(server.lines)[-500:]}"]
        spawn = multiprocessing.get_context("spawn")
        ready, stop, results = spawn.Event(), spawn.Event(), spawn.Queue()
        asked = honest.Clients(server.address, options.clients, honest.images(token))
        probe = honest.Clients(server.address, 1, honest.health)
        time.sleep(_WARM_UP_SECS)
        before = server.memory()
        target = Target(*server.address, token)
        attackers = spawn.Process(target=attacker.run, args=(target, ready, stop, results), daemon=True)
        attackers.start()
        ready.wait(120)
        print(f"Attacking {server.address[0]}:{server.address[1]} for {options.seconds:g} s.", flush=True)
        asked.forget()
        probe.forget()
        end = time.monotonic() + options.seconds
        while time.monotonic() < end and server.process.poll() is None:
            time.sleep(0.2)
        stop.set()
        counts = results.get(timeout=60)
        attackers.kill()  # its connections end with it
        print("The attacks have ended.", flush=True)
        asked.stop()
        probe.stop()
        time.sleep(_SETTLE_SECS)
        after, alive = server.memory(), server.process.poll() is None
        report(counts, asked, probe, (before, after))
        code = server.end()
        return problems_of(counts, asked, probe, (before, after), alive, code)


def report(counts, asked, probe, memory):
    """Prints what was sent and what came of it."""
    print(f"{'attack':36} answers")
    for name, (outcomes, _allowed) in counts.items():
        told = ", ".join(f"{outcome}: {number}" for outcome, number in sorted(outcomes.items()))
        print(f"{name:36} {told or 'not tried'}")
    for name, clients in ((f"honest images of {honest.SIDE}x{honest.SIDE}", asked), ("/healthz", probe)):
        figures = [f"{label} {1000 * clients.at(share):.0f} ms" for label, share in _SHARES.items()]
        print(f"{name:36} {len(clients.seconds)} requests, {len(clients.failures)} failed, {', '.join(figures)}")
    print(f"{'memory':36} {memory[0] / 1e6:.0f} MB after the warm-up, {memory[1] / 1e6:.0f} MB at the end", flush=True)


_SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def problems_of(counts, asked, probe, memory, alive, code):
    """Returns what is wrong, as a list of lines."""
    problems = attacker.faults(counts)
    if not alive:
        problems.append(f"the server ended while it was attacked (exit code {code})")
    elif code != 0:
        problems.append(f"SIGTERM did not end the server well (exit code {code})")
    for name, clients, bound in (("honest request", asked, HONEST_SECS), ("/healthz", probe, HEALTH_SECS)):
        if clients.failures:
            problems.append(f"{name}: {len(clients.failures)} failed, such as {clients.failures[0]}")
        if clients.at(0.99) > bound:
            problems.append(f"{name}: 99 % within {clients.at(0.99):.2f} s, more than {bound:g} s")
    if alive and memory[1] > GROWTH * memory[0]:
        problems.append(f"memory grew from {memory[0] / 1e6:.0f} to {memory[1] / 1e6:.0f} MB")
    return problems


if __name__ == "__main__":
    main()
