"""Ctrl-C ends a verb whenever it comes."""

from __future__ import annotations

import subprocess
import sys

LETS_GO = """
import os, signal, sys, time, types, weakref
from observer.cli import main as cli

class Held:
    pass

def let_go():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)  # the interrupt is raised here, where Python drops it

def run(arguments):
    held = Held()
    weakref.finalize(held, let_go)
    del held
    time.sleep(20)
    return 0

sys.modules["observer.cli.show"] = types.SimpleNamespace(configure=lambda parser: None, run=run)
sys.exit(cli.main(["show"]))
"""


def test_an_interrupt_that_comes_while_something_is_let_go_of_is_one() -> None:
    done = subprocess.run([sys.executable, "-c", LETS_GO], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "observer: interrupted\n")


ASKS_FOR_EVER = """
import os, signal, threading
from observer.trace.database import database, interruptible

threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
question = "select count(*) from range(1000000000) a, range(100000) b where (a.range * b.range) % 7 = 3"
with database("nothing", "") as connection:
    try:
        interruptible(connection, lambda: connection.execute(question))
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_an_interrupt_ends_a_question_that_would_never_be_answered() -> None:
    command = [sys.executable, "-c", ASKS_FOR_EVER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")
