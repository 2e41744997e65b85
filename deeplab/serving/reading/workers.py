"""The processes in which the server decodes images and parses large requests, outside of its own memory and time.

A thread cannot be ended while a library decodes, and whatever creates Python objects stops all other threads. So this
is done by a few processes, see `worker`. One that takes too long or dies costs its own request alone.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import signal
import socket
import subprocess
import sys

import numpy as np

from deeplab.serving.reading import frames, worker
from deeplab.serving.reading.contract import Refusal, described, parse

_CPU_SECS = 10  # of processor time for one task; the largest honest ones take about 5
_TINY_BODY = 16 << 10  # bytes of JSON that are parsed at once, in less time than a thread takes to begin
_SMALL_BODY = 128 << 10  # bytes of JSON that are parsed in a thread, which others wait for: up to 10 ms
_LIGHT_BODY, _LIGHT_WORK = 1 << 20, 3_000_000  # bytes and pixels of tasks that may use the last free process, too
_JSON_EXPANDS = 28  # bytes of Python objects per byte of JSON, at the worst: "[],[],[]"
_DECODING = 64  # bytes per pixel that decoding and turning an image takes
_OVERHEAD = 256 << 20


class Workers:
    """A pool of processes. Large tasks leave one of them to small ones.

    Args:
      config: a `ServeConfig`, whose limits say how much memory and time a task may need.
      count: number of processes, 2 or more; without it, as many as processors, but at most 4.
    """

    def __init__(self, config, count=None):
        self._config, self._waiting = config, 0
        count = count or min(max(os.cpu_count() or 2, 2), 4)
        self._memory = _OVERHEAD + max(_JSON_EXPANDS * config.max_request_bytes, _DECODING * config.max_pixels)
        self._idle = [_Process(self._memory) for _ in range(count)]
        for process in self._idle:
            process.start()
        self._threads = concurrent.futures.ThreadPoolExecutor(count, "workers")
        self._free, self._free_for_large = asyncio.Semaphore(count), asyncio.Semaphore(count - 1)

    def close(self):
        """Ends the processes."""
        for process in self._idle:
            process.end()
        self._threads.shutdown(wait=False)

    async def decode(self, content, header):
        """Returns an encoded image as (H, W, 3) uint8, upright.

        Args:
          content: the bytes of the file.
          header: their `headers.Header`.

        Raises:
          Refusal: 400 if it cannot be decoded, 413 if that takes too long, 503 if too many wait.
        """
        task = {"do": "decode", "name": "image", "max_pixels": self._config.max_image_pixels}
        facts, (pixels,) = await self._do(task, content, header.work > _LIGHT_WORK)
        return np.frombuffer(pixels, np.uint8).reshape(facts["shape"])

    async def parse(self, body, signatures):
        """Returns what `contract.parse` returns; raises what it and `decode` raise."""
        known, most = described(signatures), self._config.max_images
        if len(body) <= _TINY_BODY:
            return parse(body, known, most)
        if len(body) <= _SMALL_BODY:
            return await asyncio.to_thread(parse, body, known, most)
        task = {"do": "parse", "signatures": known, "max_images": most}
        answer = await self._do(task, body, len(body) > _LIGHT_BODY)
        return await asyncio.to_thread(worker.parsed, *answer)

    async def _do(self, task, content, is_large):
        """Returns the (facts, buffers) that a process answers to a task."""
        if self._waiting >= self._config.max_queue_size:
            raise Refusal(503, "Too many requests wait to be read; try again later")
        self._waiting += 1
        try:
            facts, buffers = await self._in_turn(task, content, is_large)
        finally:
            self._waiting -= 1
        if "error" in facts:
            raise Refusal(facts["status"], facts["error"])
        return facts, buffers

    async def _in_turn(self, task, content, is_large):
        async with contextlib.AsyncExitStack() as turn:
            if is_large:
                await turn.enter_async_context(self._free_for_large)
            await turn.enter_async_context(self._free)
            process = self._idle.pop()
            try:
                loop = asyncio.get_running_loop()
                answer = await loop.run_in_executor(self._threads, process.run, task, content)
            except asyncio.CancelledError:  # out of time, or the client went away: nobody waits for the thread
                process.kill()
                self._idle.insert(0, _Process(self._memory))  # those that run already are taken first
                raise
            except Exception:
                self._idle.append(process)
                raise
            self._idle.append(process)
            return answer


class _Process:
    """One process; it starts when it is needed, and again after its end. One thread at a time calls `run`."""

    def __init__(self, memory):
        self._memory, self._process, self._connection = memory, None, None

    def start(self):
        """Starts the process, unless it runs."""
        if self._process and self._process.poll() is None:
            return
        self.end()
        self._connection, theirs = socket.socketpair()
        number = theirs.fileno()
        command = [sys.executable, "-m", worker.__name__, str(number), str(self._memory), str(_CPU_SECS)]
        # One thread computes here. The path is this process's, wherever its modules came from.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with theirs:
            self._process = subprocess.Popen(
                command, pass_fds=[number], stdin=subprocess.DEVNULL, start_new_session=True, env=environment
            )

    def run(self, task, content):
        """Returns the (facts, buffers) that the process answers.

        Raises:
          Refusal: 413, the process came to its end over this task.
        """
        self.start()
        process = self._process
        try:
            frames.send(self._connection, task, [content])
            return frames.receive(self._connection)
        except (EOFError, OSError):
            status = process.wait(_CPU_SECS)
            self.end()
            if status >= 0:  # not ended by a signal, but by an error of this project, which it has printed
                raise RuntimeError(f"a worker ended with exit code {status}") from None
            reason = "takes too long to read" if status == -signal.SIGPROF else "ends the process that reads it"
            raise Refusal(413, f"The content of the request {reason}") from None

    def kill(self):
        """Ends the process, whatever it does; a thread that waits in `run` clears up behind it."""
        if self._process:
            self._process.kill()

    def end(self):
        """Ends the process while no thread is in `run`."""
        self.kill()
        if self._process:
            self._process.wait()
            self._connection.close()
            self._process = None
