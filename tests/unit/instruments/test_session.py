"""What is counted of a recording when all of it is over."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from observer.files import Folder
from observer.instruments import session
from observer.instruments.session import Recording, Wish
from observer.model.selection import parse


class Interrupted:
    """A run that ends by an interrupt, before anybody could take the observer's own."""

    def __init__(self, *given: Any) -> None:
        pass

    def run(self, told: object) -> Recording:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return Recording(
            status=signal.SIGINT, seconds=0.1, totals={}, notes=[], not_observed={}, sees_kernel_faults=True
        )  # fmt: skip


def test_an_interrupt_counts_that_comes_when_the_program_has_ended_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_Session", Interrupted)
    wish = Wish(argv=("/bin/true",), environment={}, selection=parse("trace=memory", frozenset({"brk"}), {}))
    sink: Any = None
    assert session.record(wish, sink, Folder.open(tmp_path)).totals == {"interrupts": 1}
