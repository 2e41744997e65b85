"""The server's process, with a limit of its memory, and the memory that it and its children take."""

import contextlib
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).parents[2]
LIMIT = 8 << 30  # bytes of address space, as `ulimit -v` gives it


def export(checkpoint, folder):
    """Exports the published mobilenet_v2 (depth multiplier 0.5) into a folder."""
    network = ["--model_variant=mobilenet_v2", "--depth_multiplier=0.5", "--noverify"]
    command = [sys.executable, "-m", "deeplab.export", f"--checkpoint_path={checkpoint}", f"--export_path={folder}"]
    subprocess.run([*command, *network], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


class Server:
    """`python -m deeplab.serve` on 127.0.0.1, for a `with` block; `address` is (host, port).

    Args:
      saved_model: the export.
      token: what clients have to send.
      flags: further flags of the server.
    """

    def __init__(self, saved_model, token, flags):
        self._folder = tempfile.TemporaryDirectory()
        tokens = pathlib.Path(self._folder.name) / "tokens"
        tokens.touch(0o600)
        tokens.write_text(token)
        fixed = ["--host=127.0.0.1", "--port=0", f"--auth_token_file={tokens}", "--noaccess_log", *flags]
        command = [sys.executable, "-m", "deeplab.serve", f"--saved_model={saved_model}", *fixed]
        self.lines = []
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=_limit_memory
        )
        self.address = None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("Serving on "):
                host, port = line.split("//")[1].strip().rstrip("/").rsplit(":", 1)
                self.address = host, int(port)
                break
        threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self._folder.cleanup()

    def memory(self):
        """Returns the bytes that the server and its children take; shared ones count once. 0 if it has ended."""
        return sum(_bytes_of(number) for number in _tree(self.process.pid))

    def end(self):
        """Ends the server by SIGTERM, and returns its exit code; None if it had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(90)
            return None
        return self.process.returncode


def _limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def _tree(number):
    """Returns the ids of a process and of all processes below it."""
    numbers = [number]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{number}/task"):
            for child in pathlib.Path(f"/proc/{number}/task/{task}/children").read_text().split():
                numbers += _tree(int(child))
    return numbers


def _bytes_of(number):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{number}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0
