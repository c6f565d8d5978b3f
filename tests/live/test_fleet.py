"""Hand-ins graded by several processes and by a cluster: the same documents, whichever of them ends midway."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from observer.labs.fleet import Task, Wish, here, in_processes, on_cluster
from observer.labs.grading import Document
from tests.live.test_labs import needs_box
from tests.unit.labs.hand_ins import bytes_of, given

pytestmark = [pytest.mark.timeout(240), needs_box]
SOURCE = '#include <stdlib.h>\n#include "parameters.h"\nint main(void)\n{\n    char *piece = malloc(SIZE); // @ASK\n    free(piece);\n    return 0;\n}\n'


@pytest.fixture
def labs(tmp_path: Path) -> Path:
    subprocess.run([sys.executable, "-m", "observer", "lab", "new", str(tmp_path / "quick")], check=True)
    return tmp_path


def tasks(count: int) -> list[Task]:
    made = []
    for number in range(count):
        source = SOURCE if number % 3 else SOURCE.replace("    free(piece);\n", "")
        content = bytes_of(given(lab="quick", seed=str(number), sources={"quick.c": source}))
        made.append(Task(number, f"{number}.handin", content))
    return made


def scores(found: Iterable[tuple[int, Document]]) -> dict[int, tuple[str, int | None]]:
    return {number: (document.verdict, document.score) for number, document in found}


EXPECTED = {number: ("OK", 2 if number % 3 else 0) for number in range(6)}


def test_several_processes_give_what_one_gives(labs: Path) -> None:
    wish = Wish(labs)
    one, two = dict(here(tasks(6), wish)), dict(in_processes(tasks(6), wish, 2))
    assert one == two
    assert scores(one.items()) == EXPECTED


def graders() -> list[psutil.Process]:
    """Return the processes of a pool of this process: their interpreters say so on their command lines."""
    return [
        child for child in psutil.Process().children()
        if any("spawn_main" in word for word in child.cmdline())
    ]  # fmt: skip


def test_what_a_process_was_grading_when_it_was_killed_is_graded_again(labs: Path) -> None:
    killed: list[int] = []

    def killing(given_tasks: list[Task]) -> Iterator[Task]:
        for task in given_tasks:
            if task.number == 3:  # two are done or under way
                victim = graders()[0]
                killed.append(victim.pid)
                victim.kill()
            yield task

    found = scores(in_processes(killing(tasks(6)), Wish(labs), 2))
    assert len(killed) == 1
    assert found == EXPECTED


def test_what_ends_its_process_twice_is_our_failure_and_the_rest_is_graded(
    labs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the graders a module of this name is loaded when Python begins: it ends them at one hand-in.
    (labs / "sitecustomize.py").write_text(
        "import os, observer.labs.handin as handin\n"
        "parse = handin.parse_hand_in\n"
        "def dies(name, content):\n"
        "    if name == '1.handin': os._exit(7)\n"
        "    return parse(name, content)\n"
        "handin.parse_hand_in = dies\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{labs}:{os.environ.get('PYTHONPATH', '')}")
    found = scores(in_processes(tasks(6), Wish(labs), 2))
    assert found == EXPECTED | {1: ("XX", None)}


@pytest.mark.slow
def test_a_cluster_gives_the_same_whichever_worker_ends(labs: Path, tmp_path: Path) -> None:
    dask = shutil.which("dask", path=str(Path(sys.executable).parent))
    if dask is None:
        pytest.skip("distributed is not installed")
    file = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    words = [dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    processes = [subprocess.Popen(words, **quiet)]  # type: ignore[call-overload]
    worker = [dask, "worker", "--scheduler-file", str(file), "--nthreads", "2", "--no-nanny", "--no-dashboard"]
    try:
        processes += [subprocess.Popen(worker, **quiet) for _ in range(2)]  # type: ignore[call-overload]
        while not file.exists():
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        found: list[tuple[int, Document]] = []
        for number, document in on_cluster(tasks(6), Wish(labs), address):
            found.append((number, document))
            if len(found) == 2:
                processes[1].send_signal(signal.SIGKILL)
        assert scores(found) == EXPECTED
    finally:
        for process in processes:
            process.kill()
            process.wait()
