"""What a program did, as facts; of events made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from observer.labs.language import BadExpression
from observer.labs.program import Program, program_in
from observer.labs.values import Missing, Row, Unknown, Value
from observer.labs.vocabulary import FACTS, fact_of
from observer.model.events import ChunkRef, Event
from tests.builders import HEAP, MAP, PAGE, PID, Script, meta, site, story_run

PATH = "/home/ada/story"
REFUSED = {"faults": "inferred: pages that came in between two stops", "faults in kernel mode": "not observed: refused"}


def program(events: Sequence[Event], **fields: object) -> Program:
    return program_in(events, meta(**fields), PATH)


def fact(name: str, /, *words: Value, of: Program | None = None, **named: Value) -> Value:
    return fact_of(name)(of if of is not None else program(story_run()), *words, **named)


def test_every_fact_is_explained_and_takes_words_and_numbers_only() -> None:
    assert all(fact_of(name).__doc__ for name in FACTS)
    kinds = {str(parameter.annotation) for signature in FACTS.values() for parameter in signature.parameters.values()}
    assert kinds == {"int", "str"}


def test_the_story_of_the_chapter_in_facts() -> None:
    assert fact("calls", "malloc") == 21
    assert fact("calls", "malloc", line="story.c:44") == 17
    assert fact("faults", line="story.c:49") == 118
    assert fact("faults", by="allocator") == 20
    assert fact("syscalls", "mmap") == 1
    assert fact("asked", line="story.c:53") == 2097169
    assert fact("grows") == 0x201000 + 0xA5000
    assert fact("gives_back") == 0x201000 + 0x84000
    assert fact("reuses") == 1
    assert fact("smallest_mapped") == 2097169
    assert fact("largest_unmapped") == 31013
    assert (fact("status"), fact("signal"), fact("leaks"), fact("misuses")) == (0, "none", 0, 0)


def test_a_call_has_words() -> None:
    first = fact("calls", "malloc", 1)
    assert isinstance(first, Row)
    assert {name: first.words[name] for name in ("enters", "line", "mapping", "size", "steps")} == {
        "enters": True, "line": 28, "mapping": False, "size": 100, "steps": "1-2-3-4-5",
    }  # fmt: skip
    assert isinstance(first.words["served_by"], Unknown)


def test_an_ordinal_beyond_the_last_is_missing() -> None:
    assert fact("calls", "malloc", 22) == Missing("there are only 21 malloc")
    assert isinstance(fact("entering", "calloc", 1), Missing)


def test_faults_that_cannot_be_observed_are_unknown_not_zero() -> None:
    blind = program(story_run(), how=REFUSED)
    assert isinstance(fact("faults", line="story.c:49", of=blind), Unknown)
    assert isinstance(fact("faults", by="kernel", of=program(story_run(), how=REFUSED | {"faults": "exact"})), Unknown)


def test_whose_faults_must_be_one_of_those_that_there_are() -> None:
    with pytest.raises(BadExpression, match="by is one of"):
        fact("faults", by="me")


def test_only_what_the_program_did_counts_not_who_started_it() -> None:
    run = Script()
    run.process("start", path="/usr/bin/bwrap")
    run.call("malloc", 7, result=HEAP)
    run.process("fork", child=PID + 1)
    run.process("exec", path=PATH, pid=PID + 1, tid=PID + 1)
    run.call("malloc", 11, result=HEAP, pid=PID + 1, tid=PID + 1)
    run.call("malloc", 13, result=HEAP + 64, pid=PID, tid=PID)
    run.process("exit", status=3, pid=PID + 1, tid=PID + 1)
    run.process("exit", status=0)
    seen = program(run.events)
    assert (fact("asked", of=seen), fact("status", of=seen)) == (11, 3)


def test_a_child_that_executes_the_program_again_is_not_its_first_process() -> None:
    run = Script()
    run.process("start", path=PATH)
    run.process("fork", child=PID + 1)
    run.process("exec", path=PATH, pid=PID + 1, tid=PID + 1)
    run.call("malloc", 7, result=HEAP, pid=PID + 1, tid=PID + 1)
    run.process("exit", status=1, pid=PID + 1, tid=PID + 1)
    run.process("exit", status=0)
    seen = program(run.events)
    assert (seen.root, fact("status", of=seen), fact("asked", of=seen)) == (PID, 0, 7)


def test_a_program_that_never_began_has_no_first_process() -> None:
    assert program_in(story_run(), meta(), "/elsewhere").root is None


def test_the_peak_is_what_lives_at_once() -> None:
    run = Script()
    run.process("start", path=PATH)
    run.call("malloc", 100, result=HEAP)
    run.call("realloc", 300, pointer=HEAP, result=MAP)
    run.call("free", None, pointer=MAP)
    run.call("malloc", 200, result=HEAP)
    seen = program(run.events)
    assert (fact("peak", of=seen), fact("leaks", of=seen), fact("moves", of=seen)) == (300, 1, 1)


def test_parent_and_child_are_told_apart() -> None:
    run = Script()
    run.process("start", path=PATH)
    run.process("fork", child=PID + 1)
    for page in range(5):
        chunk = ChunkRef(0, HEAP, 9 * PAGE)
        run.fault(HEAP + page * PAGE, pid=PID + 1, tid=PID + 1, chunk=chunk, site=site(7))
    run.fault(HEAP, chunk=ChunkRef(0, HEAP, 9 * PAGE), site=site(7))
    seen = program(run.events)
    assert [fact("faults", of=seen, process=who) for who in ("child", "parent", "any")] == [5, 1, 6]
    assert fact("children", of=seen) == 1


def test_exit_statuses_are_those_of_processes_not_of_threads() -> None:
    run = Script()
    run.process("start", path=PATH)
    for child, status in ((1, 13), (2, 13), (3, 7)):
        run.process("fork", child=PID + child)
        run.process("exit", status=status, pid=PID + child, tid=PID + child)
    run.process("exit", status=13, tid=PID + 9)
    run.process("killed", path="SIGSEGV", pid=PID + 4, tid=PID + 4)
    run.process("exit", status=0)
    seen = program(run.events)
    assert [fact("exits", status, of=seen) for status in (13, 7, 0, 11)] == [2, 1, 1, 0]
