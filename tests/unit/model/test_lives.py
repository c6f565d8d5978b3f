"""What is kept of each process follows births and execs."""

from __future__ import annotations

import pytest

from observer.model.events import Process
from observer.model.lives import Lives


def lives() -> Lives[list[str]]:
    return Lives(lambda pid, environment: [f"new {pid}"], lambda kept, task, child: [*kept, f"{task} forked {child}"])


def event(what: str, pid: int = 1, child: int | None = None, tid: int | None = None) -> Process:
    return Process(n=0, t_ns=0, pid=pid, tid=tid or pid, what=what, child=child, status=None, path=None)


def test_who_was_not_seen_to_begin_gets_a_new_one() -> None:
    kept = lives()
    assert (1 in kept, kept.of(1), 1 in kept, kept.first) == (False, ["new 1"], True, None)


def test_a_fork_copies_what_its_parent_has_even_of_a_parent_that_nobody_met() -> None:
    kept = lives()
    kept.take(event("fork", 1, child=2, tid=7))
    kept.of(1).append("later")
    assert (kept.of(1), kept.of(2)) == (["new 1", "later"], ["new 1", "7 forked 2"])


def test_a_child_of_vfork_has_its_parents_own_until_it_execs() -> None:
    kept = lives()
    kept.take(event("start", 1))
    kept.take(event("vfork", 1, child=2))
    kept.of(2).append("by the child")
    assert kept.of(1) == ["new 1", "by the child"]
    kept.take(event("exec", 2))
    assert (kept.of(1), kept.of(2), kept.first) == (["new 1", "by the child"], ["new 2"], 1)


@pytest.mark.parametrize("what", ["clone", "exit", "killed"])
def test_threads_and_ends_change_nothing(what: str) -> None:
    kept = lives()
    kept.of(1).append("kept")
    kept.take(event(what, 1, child=9 if what == "clone" else None, tid=3))
    assert list(kept) == [(1, ["new 1", "kept"])]


def test_a_number_that_is_used_again_is_another_process() -> None:
    kept = lives()
    kept.take(event("fork", 1, child=2))
    kept.of(2).append("the first")
    kept.take(event("fork", 1, child=2))
    assert kept.of(2) == ["new 1", "1 forked 2"]


def test_what_is_forgotten_begins_anew() -> None:
    kept = lives()
    kept.of(1).append("kept")
    kept.forget(1)
    kept.forget(2)
    assert list(kept) == []
    assert kept.of(1) == ["new 1"]
