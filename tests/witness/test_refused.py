"""What the CPU refuses a program, as the program, strace and gdb tell it: privileged.c and forbidden.c."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from mmap import PAGESIZE
from shutil import which

import pytest

from tests.conftest import needs
from tests.witness.gdbed import Stop, faulting
from tests.witness.straced import Straced, strace_run
from tests.witness.told import told_by

Sample = Callable[[str], str]

on_x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the exceptions are those of x86-64")

SI_KERNEL, MAPERR, ACCERR, ADRERR, INTDIV, ILLOPC, ILLOPN = 128, 1, 2, 2, 1, 1, 2
DIVIDE_ERROR, INVALID_OPCODE, GENERAL_PROTECTION, PAGE_FAULT = 0, 6, 13, 14
PRESENT, WRITE, USER, FETCH = 1, 2, 4, 16

PRIVILEGED = {
    "cli": "cli",
    "sti": "sti",
    "hlt": "hlt",
    "mov_cr0": "mov %cr0,",
    "mov_cr3": "mov %cr3,",
    "rdmsr": "rdmsr",
    "in": "in $0x80,%al",
    "out": "out %al,$0x80",
    "lgdt": "lgdt ",
    "invlpg": "invlpg ",
}
"""How gdb begins to write each instruction."""

FORBIDDEN = {
    "kernel_load": (signal.SIGSEGV, MAPERR, PAGE_FAULT, USER | PRESENT, "mov"),
    "kernel_store": (signal.SIGSEGV, MAPERR, PAGE_FAULT, USER | PRESENT | WRITE, "mov"),
    "non_canonical": (signal.SIGSEGV, SI_KERNEL, GENERAL_PROTECTION, 0, "mov"),
    "null_load": (signal.SIGSEGV, MAPERR, PAGE_FAULT, USER, "mov"),
    "unmapped_load": (signal.SIGSEGV, MAPERR, PAGE_FAULT, USER, "mov"),
    "unmapped_store": (signal.SIGSEGV, MAPERR, PAGE_FAULT, USER | WRITE, "mov"),
    "read_only_store": (signal.SIGSEGV, ACCERR, PAGE_FAULT, USER | PRESENT | WRITE, "mov"),
    "constant_store": (signal.SIGSEGV, ACCERR, PAGE_FAULT, USER | PRESENT | WRITE, "mov"),
    "no_access_load": (signal.SIGSEGV, ACCERR, PAGE_FAULT, USER, "mov"),
    "jump_into_data": (signal.SIGSEGV, ACCERR, PAGE_FAULT, USER | PRESENT | FETCH, "ret"),
    "beyond_file": (signal.SIGBUS, ADRERR, PAGE_FAULT, USER, "mov"),
    "stack_overrun": (signal.SIGSEGV, MAPERR, PAGE_FAULT, USER | WRITE, ""),
    "division": (signal.SIGFPE, INTDIV, DIVIDE_ERROR, 0, "idiv"),
    "undefined": (signal.SIGILL, ILLOPN, INVALID_OPCODE, 0, "ud2"),
}
"""Signal, si_code, number of the exception, its error code, instruction (any where a compiler may choose)."""

ADDRESSES = {
    "kernel_load": 0xFFFFFFFF81000000,
    "kernel_store": 0xFFFFFFFF81000000,
    "non_canonical": 0,
    "null_load": 0,
    "unmapped_load": 0x10100000,
    "unmapped_store": 0x10100000,
    "read_only_store": 0x10200000,
    "no_access_load": 0x10300000,
    "jump_into_data": 0x10400000,
    "beyond_file": 0x10500000 + PAGESIZE,
}
"""Where an address does not depend on where program and stack lie. A non-canonical one is not told."""

AT_THE_INSTRUCTION = {"jump_into_data", "division", "undefined"}


def names_in(facts: dict[str, str]) -> list[str]:
    """Return what was tried, in its order."""
    return [fact.removesuffix("_signal") for fact in facts if fact.endswith("_signal")]


def assert_strace_saw_the_same(seen: Straced) -> None:
    told = [
        (int(seen.facts[f"{name}_signal"]), int(seen.facts[f"{name}_si_code"]), int(seen.facts[f"{name}_fault_address"]))
        for name in names_in(seen.facts)
    ]  # fmt: skip
    assert [(each.number, each.code, each.address) for each in seen.signals] == told
    assert seen.killed_by is None


def assert_stopped_where_it_says(stop: Stop, name: str, source: str) -> None:
    assert stop.line == int(stop.facts[f"line_{name}"])
    assert (stop.file or "").endswith(f"/{source}")
    assert stop.cs == int(stop.facts["cs"])
    assert not names_in(stop.facts), "the facts are written before the deed, and nothing comes after it"


@on_x86_64
def test_the_program_runs_at_privilege_level_3(sample: Sample) -> None:
    facts = told_by([sample("privileged")])
    assert (facts["cpl"], facts["cs"]) == ("3", "51")


@on_x86_64
def test_each_privileged_instruction_is_a_general_protection_fault_without_an_address(sample: Sample) -> None:
    facts = told_by([sample("privileged")])
    assert names_in(facts) == list(PRIVILEGED)
    for name in PRIVILEGED:
        told = [facts[f"{name}_{what}"] for what in ("signal", "si_code", "fault_address", "trapno", "error_code")]
        assert told == ["11", "128", "0", "13", "0"], name


@on_x86_64
@needs("strace")
@pytest.mark.parametrize("program", ["privileged", "forbidden"])
def test_strace_sees_each_signal_as_the_handler_did(program: str, sample: Sample) -> None:
    seen = strace_run([sample(program)], options=("-e", "trace=none"))
    assert_strace_saw_the_same(seen)
    assert len(seen.signals) == len(PRIVILEGED if program == "privileged" else FORBIDDEN)


@on_x86_64
@needs("gdb")
@pytest.mark.parametrize("name", PRIVILEGED)
def test_gdb_names_the_privileged_instruction_and_its_line(name: str, sample: Sample) -> None:
    stop = faulting(sample("privileged"), name)
    assert (stop.signal, stop.code, stop.address) == ("SIGSEGV", SI_KERNEL, 0)
    assert stop.instruction.startswith(PRIVILEGED[name])
    assert_stopped_where_it_says(stop, name, "privileged.c")


@on_x86_64
@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_forbidden_deed_raises_the_exception_that_belongs_to_it(name: str, sample: Sample) -> None:
    facts = told_by([sample("forbidden")])
    number, code, exception, error, _ = FORBIDDEN[name]
    told = [int(facts[f"{name}_{what}"]) for what in ("signal", "si_code", "trapno", "error_code")]
    assert told == [number, code, exception, error]
    assert (facts[f"{name}_address_is_pc"] == "1") == (name in AT_THE_INSTRUCTION)
    if name in ADDRESSES:
        assert int(facts[f"{name}_fault_address"]) == ADDRESSES[name]
    if exception == PAGE_FAULT:
        assert facts[f"{name}_cr2"] == facts[f"{name}_fault_address"]


@on_x86_64
def test_every_deed_of_forbidden_is_looked_at_here(sample: Sample) -> None:
    assert names_in(told_by([sample("forbidden")])) == list(FORBIDDEN)


@on_x86_64
@needs("gdb")
@pytest.mark.parametrize("name", FORBIDDEN)
def test_gdb_names_the_forbidden_deed_and_its_line(name: str, sample: Sample) -> None:
    number, code, _, _, instruction = FORBIDDEN[name]
    stop = faulting(sample("forbidden"), name)
    assert (stop.signal, stop.number, stop.code) == (number.name, number, code)
    assert instruction in stop.mnemonic
    assert (stop.address == stop.pc) == (name in AT_THE_INSTRUCTION)
    if name in ADDRESSES:
        assert stop.address == ADDRESSES[name]
    if name == "jump_into_data":
        assert (stop.file, stop.line) == (None, None)
        assert stop.called_from == int(stop.facts["line_jump_into_data"])
    else:
        assert_stopped_where_it_says(stop, name, "forbidden.c")


@needs("strace")
@pytest.mark.parametrize(
    ("program", "name"), [("privileged", name) for name in PRIVILEGED] + [("forbidden", name) for name in FORBIDDEN]
)
@on_x86_64
def test_nothing_catches_a_deed_that_is_named(program: str, name: str, sample: Sample) -> None:
    seen = strace_run([sample(program), name], options=("-e", "trace=none"))
    wanted = "SIGSEGV" if program == "privileged" else FORBIDDEN[name][0].name
    assert [each.name for each in seen.signals] == [wanted]
    assert seen.killed_by == wanted


def test_page_faults_that_the_kernel_resolves_are_no_signals(sample: Sample) -> None:
    facts = told_by([sample("forbidden")])
    assert (facts["faults_program"], facts["pages_touched"]) == ("17", "17")


@pytest.mark.parametrize("program", ["privileged", "forbidden"])
def test_a_name_that_is_none_ends_with_status_2(program: str, sample: Sample) -> None:
    done = subprocess.run([sample(program), "nothing"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")


@on_x86_64
@pytest.mark.parametrize("ending", ["-musl", "-i386-static"])
def test_the_answers_do_not_depend_on_the_c_library_or_the_mode(ending: str, sample: Sample, variant: Sample) -> None:
    def particulars(facts: dict[str, str], name: str) -> list[str]:
        return [facts[f"{name}_{what}"] for what in ("signal", "si_code", "address_is_pc", "trapno", "error_code")]

    here, there = told_by([sample("privileged")]), told_by([variant(f"privileged{ending}")])
    assert [particulars(there, name) for name in PRIVILEGED] == [particulars(here, name) for name in PRIVILEGED]
    here, there = told_by([sample("forbidden")]), told_by([variant(f"forbidden{ending}")])
    left_out = {"kernel_load", "kernel_store", "non_canonical"} if "i386" in ending else set()
    assert set(here) - set(there) == {
        fact for fact in here if any(name in fact for name in left_out) or ("i386" in ending and fact.endswith("_cr2"))
    }
    assert [particulars(there, name) for name in names_in(there)] == [
        particulars(here, name) for name in names_in(there)
    ]


# ---- arm64 ----

FORBIDDEN_ARM64 = {
    name: (number, ILLOPC if name == "undefined" else code) for name, (number, code, *_) in FORBIDDEN.items()
} | {"non_canonical": (signal.SIGSEGV, MAPERR), "division": None}
"""Signal and si_code as the kernel gives them; None where there is no signal."""


@pytest.fixture
def arm64(sample: Sample, variant: Sample) -> tuple[Callable[[str], list[str]], bool]:
    """Return a function that gives a sample's command on arm64, and whether it is emulated: the kernel's part, too."""
    if os.uname().machine == "aarch64":
        return lambda name: [sample(name)], False
    if which("qemu-aarch64") is None:
        pytest.skip("qemu-aarch64 is not installed")
    return lambda name: ["qemu-aarch64", variant(f"{name}-arm64")], True


Arm64 = tuple[Callable[[str], list[str]], bool]


def test_arm64_answers_a_privileged_instruction_with_sigill(arm64: Arm64) -> None:
    command, emulated = arm64
    facts = told_by(command("privileged"))
    names = ["mrs_sctlr", "mrs_ttbr", "mrs_level", "msr_vbar", "tlbi"]
    assert names_in(facts) == names
    for name in names:
        told = [facts[f"{name}_{what}"] for what in ("signal", "address_is_pc")]
        assert told == [str(int(signal.SIGILL)), "1"], name
        # The kernel says illegal opcode, the emulator illegal operand.
        assert facts[f"{name}_si_code"] == str(ILLOPN if emulated else ILLOPC), name


def test_arm64_answers_a_forbidden_deed_with_the_same_signals_but_two(arm64: Arm64) -> None:
    command, emulated = arm64
    facts = told_by(command("forbidden"))
    assert names_in(facts) == list(FORBIDDEN_ARM64)
    # What the emulator counts are its own process's page faults, and now and then it has one of its own.
    faults = int(facts["faults_program"])
    assert (faults >= 17 if emulated else faults == 17, facts["pages_touched"]) == (True, "17")
    # The emulator finds a page without access below the stack.
    emulators = {"undefined": (signal.SIGILL, ILLOPN), "stack_overrun": (signal.SIGSEGV, ACCERR)} if emulated else {}
    for name, wanted in (FORBIDDEN_ARM64 | emulators).items():
        if wanted is None:
            assert (facts[f"{name}_signal"], f"{name}_si_code" in facts) == ("0", False)
            continue
        assert (int(facts[f"{name}_signal"]), int(facts[f"{name}_si_code"])) == wanted, name
        assert (facts[f"{name}_address_is_pc"] == "1") == (name in AT_THE_INSTRUCTION), name
    there = ADDRESSES | {"kernel_load": 0xFFFF800008000000, "kernel_store": 0xFFFF800008000000}
    there |= {"non_canonical": 0 if emulated else 1 << 48}
    assert {name: int(facts[f"{name}_fault_address"]) for name in there} == there


def test_arm64_has_one_gate(arm64: Arm64) -> None:
    command, _ = arm64
    facts = told_by(command("gates"))
    assert [facts[name] for name in ("gate_syscall", "gate_int80", "gate_vdso", "gate_svc")] == ["0", "0", "0", "2"]
    assert (facts["pid_svc"], facts["svc_brk"]) == ("1", "1")
