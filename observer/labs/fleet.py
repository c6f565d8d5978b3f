"""Many hand-ins graded: one after another, by several processes, or by a cluster of Dask's."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from observer.errors import ObserverError, UsageError
from observer.labs.box import Box
from observer.labs.grading import OURS, Document, Grader, failed

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Task", "Wish", "here", "in_processes", "on_cluster"]

_CONNECTING = "10s"
_ONE_AT_A_TIME = threading.Lock()
"""A process has one that records; a worker of a cluster may have several threads."""
_AGAIN = 5
"""How often a cluster tries what took a worker with it."""


class Task(NamedTuple):
    """A hand-in to be graded: which one it is, the name of its file, and what is in it."""

    number: int
    name: str
    content: bytes


class Wish(NamedTuple):
    """By what is graded: labs in a folder, or those of the package, perhaps one of them alone; where programs run."""

    labs: Path | None = None
    box: Box = Box.BUBBLEWRAP
    only: str | None = None


def here(tasks: Iterable[Task], by: Wish) -> Iterator[tuple[int, Document]]:
    """Grade *tasks* in this process, one after another."""
    with Grader(by.labs, by.box, by.only) as grader:
        for task in tasks:
            yield task.number, _document(grader, task)


def _document(grader: Grader, task: Task) -> Document:
    try:
        return grader.grade(task.name, task.content)
    except Exception as error:  # whatever is wrong with us, the next hand-in is graded
        return failed(task.name, OURS, f"the grader failed: {type(error).__name__}: {error}")


def _graded(task: Task, by: Wish) -> Document:
    with _ONE_AT_A_TIME:
        return _document(_grader(by), task)


@cache
def _grader(by: Wish) -> Grader:
    """Return the grader of a process that grades for others, which ends what it has begun when it ends."""
    grader = Grader(by.labs, by.box, by.only)
    Finalize(grader, grader.close, exitpriority=1)
    return grader


# ---- several processes --------------------------------------------------------------------------------------


def in_processes(tasks: Iterable[Task], by: Wish, jobs: int) -> Iterator[tuple[int, Document]]:
    """Grade *tasks* in so many processes; yield each as it is done.

    What was being graded when a process ended is graded again by itself; if that ends its process, too, it is XX.
    """
    left = iter(tasks)
    done = False
    while not done:
        begun: dict[int, Task] = {}
        with _pool(jobs) as pool, suppress(BrokenProcessPool):
            done = yield from _through(pool, left, by, jobs, begun)
        for task in begun.values():
            yield task.number, _alone(task, by)


def _through(
    pool: ProcessPoolExecutor, left: Iterator[Task], by: Wish, jobs: int, begun: dict[int, Task]
) -> Generator[tuple[int, Document], None, bool]:
    """Have *pool* do what is *left*, so many at a time; *begun* is what is not done where it breaks."""
    futures: dict[Future[Document], int] = {}
    while True:
        while len(futures) < jobs and (task := next(left, None)) is not None:
            begun[task.number] = task
            futures[pool.submit(_graded, task, by)] = task.number
        if not futures:
            return True
        for future in wait(futures, return_when=FIRST_COMPLETED).done:
            number, document = futures.pop(future), future.result()
            del begun[number]
            yield number, document


def _alone(task: Task, by: Wish) -> Document:
    with _pool(1) as pool:
        try:
            return pool.submit(_graded, task, by).result()
        except BrokenProcessPool:
            return failed(task.name, OURS, "the process that graded it ended")


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it as it is, without a word


# ---- a cluster ----------------------------------------------------------------------------------------------


def on_cluster(tasks: Iterable[Task], by: Wish, address: str) -> Iterator[tuple[int, Document]]:
    """Grade *tasks* on the cluster whose scheduler is at *address*; yield each as it is done.

    Its workers need this package, gcc and bubblewrap, and the folder of the labs where one is named. What a worker that
    goes away was grading, another one grades.

    Raises:
        ObserverError: the package distributed is missing, or nobody answers at *address*.
        UsageError: *address* is none.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ObserverError(
            "no cluster can be asked", str(error), f"{sys.executable} -m pip install distributed"
        ) from error
    with _connected(Client, address) as client:
        futures = {client.submit(_graded, task, by, pure=False, retries=_AGAIN): task for task in tasks}
        for future in as_completed(futures, loop=client.loop):  # type: ignore[no-untyped-call]
            task, reason = futures[future], future.exception()
            if reason is None:
                yield task.number, future.result()
            else:
                yield task.number, failed(task.name, OURS, f"the cluster failed: {type(reason).__name__}")
            future.release()


def _connected(kind: type[Client], address: str) -> Client:
    try:
        return kind(address, timeout=_CONNECTING, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ObserverError(f"no scheduler answers at {address}", str(error), "dask scheduler") from error
    except ValueError as error:
        raise UsageError(f"{address!r} is no address of a scheduler", str(error), "tcp://HOST:8786") from error
