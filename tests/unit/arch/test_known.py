"""Each architecture that is known, held to what all of them promise."""

from __future__ import annotations

import os

import pytest

from observer.arch.architecture import GATES, Architecture
from observer.arch.known import ARCHITECTURES, NATIVE, SERVED, architecture_of, native_of, with_bits

EACH = pytest.mark.parametrize("known", ARCHITECTURES, ids=lambda known: known.name)


@EACH
def test_the_roles_of_registers_are_places_among_their_names(known: Architecture) -> None:
    registers, calls = known.registers, known.calls
    single = {registers.ip, registers.sp, registers.fp, registers.kept, registers.mode}
    assert len(single) == 5
    places = {*single, *registers.arguments, registers.result, calls.asked, *calls.arguments}
    assert (places | {calls.number, registers.return_address}) - {None} <= set(range(len(registers.names)))
    assert [registers.names[registers.places[name]] for name in registers.names] == list(registers.names)


@EACH
def test_a_system_call_has_six_arguments_each_in_a_register_of_its_own(known: Architecture) -> None:
    assert len(set(known.calls.arguments)) == 6
    assert not {known.calls.asked, known.calls.number} & {*known.calls.arguments}


@EACH
def test_each_gate_has_a_number_that_records_can_hold(known: Architecture) -> None:
    assert known.calls.gates
    assert all(GATES[gate.number] == gate.name and gate.number < 4 for gate in known.calls.gates)
    assert len({gate.code for gate in known.calls.gates}) == len(known.calls.gates)


@EACH
def test_no_variant_bit_is_part_of_a_number(known: Architecture) -> None:
    assert not any(number & known.calls.variant for number in known.calls.numbers.values())


@EACH
def test_samples_carry_what_frames_are_found_by_in_the_kernels_order(known: Architecture) -> None:
    names, numbers = zip(*known.perf_registers, strict=True)
    assert {"ip", "sp", "bp"} <= set(names)
    assert list(numbers) == sorted(set(numbers))


@EACH
def test_a_trap_is_behind_its_own_bytes_or_at_them(known: Architecture) -> None:
    assert known.trap.behind in (0, len(known.trap.code))


@EACH
def test_rings_are_told_apart(known: Architecture) -> None:
    modes = known.modes
    assert (known.ring_of(modes.user), known.ring_of(modes.kernel)) == (3, 0)
    assert (known.bits_of(modes.narrow[1]), known.bits_of(~modes.narrow[1] & modes.narrow[0])) == (32, 64)


@EACH
def test_it_is_found_by_what_is_recorded_of_it(known: Architecture) -> None:
    assert architecture_of(known.calls.audit) is known
    assert native_of(known.machine).machine == known.machine


def test_no_two_are_taken_for_each_other() -> None:
    for field in ("name", "elf_machine", "capstone"):
        assert len({getattr(each, field) for each in ARCHITECTURES}) == len(ARCHITECTURES)
    assert len({(each.machine, each.bits) for each in ARCHITECTURES}) == len(ARCHITECTURES)


def test_the_kernels_own_programs_have_its_widest_words() -> None:
    assert native_of(os.uname().machine) is NATIVE is with_bits(64)
    assert NATIVE in SERVED
    assert max(each.bits for each in SERVED) == NATIVE.bits


def test_a_machine_that_is_not_known_has_no_words_of_its_own() -> None:
    assert native_of("pdp11").name == "x86-64"
    with pytest.raises(KeyError):
        with_bits(16)
    with pytest.raises(KeyError):
        architecture_of(0)
    with pytest.raises(KeyError):
        NATIVE.numbers("no_such_call")
