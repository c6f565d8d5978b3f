"""Calls followed from entry to return, and everything taken out again."""

from __future__ import annotations

import os

import pytest

from observer.arch.known import NATIVE
from observer.arch.x86_64 import X86_64
from observer.recording.records import ENTRY_ONLY, LEFT
from observer.tracee.frames import CUT
from observer.tracee.task import Task
from tests.unit.tracee.machine import RAX, RIP, RSP, STACK, TEXT, Machine

pytestmark = pytest.mark.skipif(NATIVE is not X86_64, reason="the program of these tests is x86-64 code")

# main: call inner; call outer; ret. outer: call inner; ret. inner: mov eax, 7; ret; nop. All at literal places.
MAIN, OUTER, INNER, FAR = TEXT, TEXT + 0x20, TEXT + 0x40, TEXT + 0x60
RET, NOP, AWAY = b"\xc3", b"\x90", b"\xff\xe1"


def call(place: int, target: int) -> bytes:
    return b"\xe8" + (target - place - 5).to_bytes(4, "little", signed=True)


def code() -> bytes:
    main = call(MAIN, INNER) + call(MAIN + 5, OUTER) + RET
    outer = call(OUTER, INNER) + RET
    inner = b"\xb8\x07\x00\x00\x00" + RET + NOP
    pieces = {MAIN: main, OUTER: outer, INNER: inner, FAR: b"\xb8\x09\x00\x00\x00" + RET}
    text = bytearray(b"\xf4" * 0x80)
    for place, piece in pieces.items():
        text[place - TEXT : place - TEXT + len(piece)] = piece
    return bytes(text)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch, code())


@pytest.fixture
def outermost(machine: Machine) -> Machine:
    """`outer` is function 3 and `inner` function 4 of those whose exits are watched."""
    machine.plant(OUTER, number=3, entry=OUTER)
    machine.plant(OUTER + 5, leaves=True)
    machine.plant(INNER, number=4, entry=INNER)
    machine.plant(INNER + 5, leaves=True, planted=b"\xcc\xc3", goes_on=True)
    machine.memory.entries |= {OUTER, INNER}
    return machine


@pytest.fixture
def nested(machine: Machine) -> Machine:
    """Each call instruction is watched: of `inner` in `main`, of `outer`, of `inner` in `outer`."""
    for number, place in enumerate((MAIN, MAIN + 5, OUTER)):
        machine.plant(place, number=number, pushed=-8, is_before=True, nests=True)
    return machine


def stack(machine: Machine) -> bytes:
    """What the stack holds, from the stack pointer up."""
    return bytes(machine.bytes[machine.registers.words[RSP] : STACK])


def untouched(monkeypatch: pytest.MonkeyPatch, until: int) -> Machine:
    """The same program without breakpoints, run to *until*."""
    machine = Machine(monkeypatch, code())
    machine.run(until)
    return machine


def nested_in_the_second(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The same without breakpoints, in `inner` as `outer` calls it."""
    machine = untouched(monkeypatch, OUTER)
    machine.run(INNER)
    return machine


# ---- by exits ----


def test_of_calls_within_calls_only_the_outermost_are_told(outermost: Machine) -> None:
    outermost.run()
    assert outermost.told.said == [("began", 4), ("returned", 4, 7, 0), ("began", 3), ("returned", 3, 7, 1)]


def test_where_exits_are_watched_the_stack_stays_as_the_program_made_it(
    outermost: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    outermost.run(INNER)
    outermost.step()
    assert stack(outermost) == stack(untouched(monkeypatch, INNER))


def test_a_call_that_was_jumped_out_of_is_left(outermost: Machine) -> None:
    outermost.run(OUTER + 5)
    outermost.begin(INNER)  # longjmp, to a place above
    outermost.run()
    assert outermost.told.said[2:] == [("began", 3), ("lost", 3, LEFT), ("began", 4), ("returned", 4, 7, 0)]


def test_a_coroutine_on_another_stack_sets_the_open_call_aside(outermost: Machine) -> None:
    outermost.run(OUTER + 5)
    words = outermost.registers.words
    kept = words[RIP], words[RSP]
    outermost.begin(INNER, 0x4000)
    outermost.run()
    words[RIP], words[RSP] = kept
    outermost.run()
    assert outermost.told.said[2:] == [
        ("began", 3), ("aside", 3), ("began", 4), ("returned", 4, 7, 0), ("returned", 3, 7, 1)
    ]  # fmt: skip


def test_what_a_handler_calls_is_no_part_of_what_the_signal_interrupted(outermost: Machine) -> None:
    outermost.run(OUTER + 5)
    words = outermost.registers.words
    kept = words[RIP], words[RSP]
    outermost.follower.handler_began(outermost.task, words[RSP])
    outermost.begin(INNER, words[RSP] - 128)
    outermost.run()
    outermost.follower.handler_returned(outermost.task)
    words[RIP], words[RSP] = kept
    outermost.run()
    assert outermost.told.said[3:] == [("began", 4), ("returned", 4, 7, 0), ("handled", 1), ("returned", 3, 7, 1)]


@pytest.fixture
def leaving(machine: Machine) -> Machine:
    """`outer` ends by jumping to `far`, in another file; it was called and stands there."""
    machine.bytes[OUTER : OUTER + 7] = b"\x90\x90\x90\x90\x90" + AWAY
    machine.plant(OUTER, number=3, entry=OUTER)
    machine.plant(OUTER + 5, leaves=True)
    machine.plant(INNER + 5, leaves=True)
    machine.registers.words[NATIVE.registers.places["rcx"]] = FAR
    machine.begin(OUTER)
    machine.run(FAR)
    return machine


def test_a_function_that_ends_in_another_file_comes_back_by_an_exchanged_return_address(leaving: Machine) -> None:
    assert (list(leaving.memory.exchanged), leaving.follower.exchanged) == ([(INNER + 5, STACK - 8)], 1)
    leaving.run()
    assert (leaving.told.said, leaving.memory.exchanged) == ([("began", 3), ("returned", 3, 9, 0)], {})
    assert leaving.registers.words[RSP] == STACK


# ---- by exchanged return addresses ----


def test_each_call_is_told_of_and_comes_back_where_it_should(nested: Machine) -> None:
    nested.run()
    assert nested.told.said == [
        ("began", 0), ("returned", 0, 7, 0),
        ("began", 1), ("began", 2), ("returned", 2, 7, 0), ("returned", 1, 7, 0),
    ]  # fmt: skip
    assert (nested.registers.words[RSP], nested.registers.words[RAX], nested.memory.exchanged) == (STACK, 7, {})


def test_a_call_that_a_jump_left_is_known_by_the_next_above_it(nested: Machine) -> None:
    nested.run(INNER)
    nested.step()
    nested.run(INNER)
    nested.begin(MAIN, STACK + 0x40)
    nested.run()
    assert nested.told.said[2:6] == [("began", 1), ("began", 2), ("lost", 2, LEFT), ("lost", 1, LEFT)]


def test_what_was_given_up_returns_all_the_same(nested: Machine) -> None:
    nested.run(OUTER)
    words = nested.registers.words
    kept = words[RIP], words[RSP]
    nested.begin(MAIN, STACK + 0x40)
    nested.run()
    words[RIP], words[RSP] = kept
    nested.run()
    assert words[RSP] == STACK
    assert sum(said[0] in ("returned", "lost") for said in nested.told.said) == sum(
        said[0] == "began" for said in nested.told.said
    )


def test_the_unwinder_finds_the_return_addresses_of_the_program(
    nested: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested.plant(INNER, nests=True, returns=False, unwinds=True)
    nested.run(OUTER)
    nested.run(INNER)
    assert stack(nested).count(nested.memory.trap.to_bytes(8, "little")) == 2
    nested.step()
    assert (stack(nested), nested.memory.exchanged) == (stack(nested_in_the_second(monkeypatch)), {})
    assert nested.told.said[-2:] == [("lost", 2, ENTRY_ONLY), ("lost", 1, ENTRY_ONLY)]
    nested.run()
    assert nested.registers.words[RSP] == STACK


# ---- children, ends ----


def test_a_forked_child_returns_from_what_its_stack_holds_and_nobody_is_told(nested: Machine) -> None:
    nested.run(INNER)
    nested.step()
    nested.run(INNER)
    child = Task(os.getpid(), os.getpid(), nested.opened(nested.memory.fork(os.getpid())), 11)
    child.inherit_calls(nested.task)
    parent, told, kept = nested.task, list(nested.told.said), bytes(nested.bytes)
    words = nested.registers.words
    place = words[RIP], words[RSP]
    nested.task = child
    nested.run()
    assert (nested.told.said, words[RSP]) == (told, STACK)
    nested.task, nested.bytes[:] = parent, kept
    words[RIP], words[RSP] = place
    nested.run()
    assert nested.told.said[len(told) :] == [("returned", 2, 7, 0), ("returned", 1, 7, 0)]


def test_a_vfork_child_shares_the_stack_and_its_end_cuts_nothing_of_its_parents(nested: Machine) -> None:
    nested.run(OUTER)
    parent, words = nested.task, nested.registers.words
    place = words[RIP], words[RSP]
    nested.task = Task(os.getpid(), os.getpid(), nested.memory, 11)
    nested.begin(MAIN, words[RSP] - 0x40)
    nested.run(INNER)
    nested.follower.ended(nested.task)
    nested.task = parent
    words[RIP], words[RSP] = place
    nested.run()
    assert nested.told.said[2:] == [
        ("began", 1),
        ("began", 0), ("lost", 0, CUT),
        ("began", 2), ("returned", 2, 7, 0), ("returned", 1, 7, 0),
    ]  # fmt: skip


def test_the_end_of_a_task_cuts_its_calls_in_both_ways_once(nested: Machine) -> None:
    nested.plant(INNER, number=4, entry=INNER)
    nested.run(INNER + 5)
    nested.follower.ended(nested.task)
    nested.follower.ended(nested.task)
    assert nested.told.said == [("began", 0), ("began", 4), ("lost", 4, CUT), ("lost", 0, CUT)]


# ---- taken out ----


@pytest.mark.parametrize("steps", range(12))
@pytest.mark.parametrize("way", ["outermost", "nested"])
def test_taken_out_at_any_moment_it_is_as_if_nobody_had_been_there(
    way: str, steps: int, request: pytest.FixtureRequest
) -> None:
    machine: Machine = request.getfixturevalue(way)
    home = machine.memory.trap_home
    for _ in range(steps):
        machine.step()
    machine.follower.take_out(machine.memory, [machine.task])
    begun = sum(said[0] == "began" for said in machine.told.said)
    assert sum(said[0] in ("returned", "lost") for said in machine.told.said) == begun
    assert bytes(machine.bytes[TEXT : TEXT + 0x80]) == code()
    assert machine.bytes[home] == 0xF4
    assert home.to_bytes(8, "little") not in stack(machine)
    machine.run()
    assert (machine.registers.words[RSP], machine.registers.words[RAX]) == (STACK, 7)
    assert sum(said[0] == "began" for said in machine.told.said) == begun


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_taken_out_on_the_way_back_it_comes_to_its_caller(leaving: Machine, steps: int) -> None:
    for _ in range(steps):
        leaving.step()
    leaving.follower.take_out(leaving.memory, [leaving.task])
    leaving.run()
    assert (leaving.registers.words[RSP], leaving.registers.words[RAX]) == (STACK, 9)


def test_what_the_program_put_over_a_breakpoint_is_left_alone(outermost: Machine) -> None:
    outermost.bytes[OUTER : OUTER + 5] = b"\x90" * 5
    outermost.follower.take_out(outermost.memory, [outermost.task])
    assert bytes(outermost.bytes[OUTER : OUTER + 6]) == b"\x90" * 5 + RET
