"""The process that attacks: threads that go through the kinds of attack again and again, and count the outcomes."""

import collections
import itertools
import os
import resource
import threading
import time

from server_attacks import kinds

_THREADS = 4  # of quick attacks; every slow kind has a thread of its own
_FILES = 4096  # descriptors, for idle connections


def run(target, ready, stop, results):
    """Attacks until `stop` is set.

    Args:
      target: the `kinds.Target`.
      ready: event that is set when everything to send is made, just before the attacks begin.
      stop: event that ends the attacks.
      results: queue that gets {name of a kind: ({outcome: number}, further outcomes that are right)} at the end.
    """
    os.nice(5)  # attackers have machines of their own; here they share the server's
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES if most == resource.RLIM_INFINITY else min(_FILES, most), most))
    everything = kinds.make()
    counts, lock = {name: collections.Counter() for name in everything}, threading.Lock()

    def attack(name):
        outcomes = everything[name].run(target)
        with lock:
            if not stop.is_set():  # what the end of the run cut off says nothing
                counts[name].update(outcomes)

    def loop(names, pause):
        for name in itertools.cycle(names):
            if stop.wait(pause):
                return
            attack(name)
            if everything[name].is_slow:
                time.sleep(pause)

    quick = [name for name, kind in everything.items() if not kind.is_slow]
    works = [(quick[i::_THREADS] + quick, 0.02) for i in range(_THREADS)]
    works += [([name], kind.pause) for name, kind in everything.items() if kind.is_slow]
    ready.set()
    for work in works:
        threading.Thread(target=loop, args=work, daemon=True).start()
    stop.wait()
    with lock:
        results.put({name: (dict(counts[name]), kind.allowed) for name, kind in everything.items()})


def faults(counts):
    """Returns lines about outcomes that are wrong, of what `run` puts into `results`."""
    lines = []
    for name, (outcomes, allowed) in counts.items():
        for outcome, number in outcomes.items():
            right = outcome in allowed or outcome == "503" or (outcome.isdecimal() and 400 <= int(outcome) < 500)
            if not right:
                lines.append(f"{name}: {number} times {outcome}")
    return lines
