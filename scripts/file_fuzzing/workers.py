"""Starts worker processes, and goes on with another one where one ends."""

import collections
import pathlib
import queue
import subprocess
import sys
import threading

SIGNAL, SLOW = "signal", "too_slow"
GOOD = ("read", "refused")
BAD = ("traceback", SIGNAL, "out_of_memory", SLOW)
_LONGEST = 600  # seconds for one file, the start of a worker included; busy machines take long for it


def run(script, tasks, samples, work, seed, number_of_workers):
    """Lets workers read the files of `tasks`, a list of (kind, number); returns [(kind, number, outcome, message)]."""
    results, threads = [], []
    for place in range(number_of_workers):
        command = [sys.executable, script, "--worker", samples, pathlib.Path(work) / str(place), f"--seed={seed}"]
        arguments = (list(map(str, command)), collections.deque(tasks[place::number_of_workers]), results)
        threads.append(threading.Thread(target=_work, args=arguments))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return results


def _work(command, tasks, results):
    """Gives tasks to one worker after the other until all are done."""
    while tasks:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as worker:
            lines: queue.Queue = queue.Queue()
            threading.Thread(target=_read, args=(worker.stdout, lines), daemon=True).start()
            ended = _feed(worker, tasks, lines, results)
            if ended:
                results.append((*tasks.popleft(), *ended))
                worker.kill()


def _feed(worker, tasks, lines, results):
    """Gives tasks to a worker; returns the (outcome, message) of the task with which it ended, None if it did all."""
    while tasks:
        kind, number = tasks[0]
        try:
            worker.stdin.write(f"{kind} {number}\n")
            worker.stdin.flush()
            line = lines.get(timeout=_LONGEST)
        except queue.Empty:
            return SLOW, f"more than {_LONGEST} seconds"
        except BrokenPipeError:
            line = ""
        if not line:
            return SIGNAL, f"exit code {worker.wait()}"
        results.append((*tasks.popleft(), *line.rstrip("\n").split(" ", 3)[2:]))
    worker.stdin.close()
    return None


def _read(stream, lines):
    for line in stream:
        lines.put(line)
    lines.put("")


def table(results):
    """Returns the lines of a table of kinds and outcomes."""
    kinds = list(dict.fromkeys(kind for kind, *_rest in results))
    counts = collections.Counter((kind, outcome) for kind, _number, outcome, _message in results)
    outcomes = (*GOOD, *BAD)
    lines = [f"{'kind':14}" + "".join(f"{name.replace('_', ' '):>15}" for name in outcomes)]
    lines += [f"{kind:14}" + "".join(f"{counts[kind, name]:15}" for name in outcomes) for kind in kinds]
    totals = [sum(counts[kind, name] for kind in kinds) for name in outcomes]
    return [*lines, f"{'all':14}" + "".join(f"{total:15}" for total in totals)]
