"""The process that records (`observer.labs.recorder`), as whoever has programs recorded sees it."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Self

import msgspec

from observer.labs.recorder import Ended, Job

__all__ = ["Recorder"]


class Recorder:
    """Records programs, one after another. Its process begins with the first job and ends with `close`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(self, job: Job) -> Ended:
        """Do *job* and return how it ended; where the process itself is gone, the next job has another one."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            return Ended(125, f"the process that records is gone: status {self.close()}")
        return msgspec.json.decode(line, type=Ended)

    def _start(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-P", "-m", "observer.labs.recorder"]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process

    def close(self) -> int | None:
        """End the process, and with it what it does; return its exit status, None if there was none."""
        process, self._process = self._process, None
        if process is None:
            return None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()
        except BrokenPipeError:
            process.stdin = None
        process.stdout.close()
        return process.wait()
