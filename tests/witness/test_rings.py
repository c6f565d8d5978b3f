"""What the observer tells of refused instructions and addresses, beside gdb, strace and the processor's own numbers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from observer.model.events import Signal
from observer.model.signals import number_of_signal
from tests.conftest import ROOT, needs
from tests.recordings import Recorded
from tests.witness.gdbed import faulting
from tests.witness.straced import strace_run
from tests.witness.test_refused import FORBIDDEN, PRIVILEGED, names_in

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the exceptions are those of x86-64")

Sample = Callable[[str], str]
Record = Callable[..., Recorded]

TRAPS = {
    0: "#DE", 1: "#DB", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 12: "#SS", 13: "#GP", 14: "#PF", 16: "#MF", 17: "#AC",
    19: "#XM",
}  # fmt: skip
"""The processor's numbers of its exceptions (Intel SDM volume 3, table 6-1)."""

PRESENT, WRITE, FETCH = 1, 2, 16
KERNEL_HALF = 1 << 63
SAMPLES = ["privileged", "forbidden"]
ENDINGS = ["", "-i386", "-musl"]
REASONS = {
    "kernel_load": "kernel address",
    "kernel_store": "kernel address",
    "non_canonical": "non-canonical address",
    "null_load": "null pointer",
    "unmapped_load": "nothing mapped",
    "unmapped_store": "nothing mapped",
    "read_only_store": "read-only",
    "constant_store": "read-only",
    "no_access_load": "no access",
    "jump_into_data": "not executable",
    "beyond_file": "beyond the file",
    "stack_overrun": "stack overrun",
    "division": None,
    "undefined": None,
}
RAISED_REASONS = {
    "int_32": "software interrupt",
    "misaligned": "misaligned vector",
    "misaligned_32": "misaligned vector",
    "misaligned_pair": "misaligned vector",
    "mxcsr_reserved": "reserved bits",
    "bad_segment": "segment",
    "iret_bad": "segment",
    "far_return": "segment",
    "timestamp": "privileged instruction",
    "jump_fresh": "not executable",
    "jump_nowhere": "nothing mapped",
    "return_nowhere": "nothing mapped",
    "jump_hole": "non-canonical address",
    "call_hole": "non-canonical address",
    "return_hole": "non-canonical address",
    "push_hole": "non-canonical address",
    "stack_hole": "non-canonical address",
    "pop_hole": "non-canonical address",
    "frame_hole": "non-canonical address",
    "segment_hole": "non-canonical address",
    "string_hole": "non-canonical address",
    "kernel_jump": "kernel address",
    "vsyscall_read": "vsyscall page",
    "vsyscall_jump": "vsyscall page",
}
"""The others that raise a page fault touch page 0 (null pointer)."""

SENT = {"killed", "raised", "forged", "forged_kernel", "forged_trap"}
"""Signals that the program sends itself: whatever their si_code says, no instruction raised them."""


@pytest.fixture(scope="module")
def raised(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    folder = tmp_path_factory.mktemp("raised")
    folder.chmod(0o755)

    def build(ending: str) -> str:
        compiler = ["i686-linux-gnu-gcc", "-msse2"] if ending else ["gcc"]
        target = folder / f"raised{ending}"
        if not target.exists():
            common = ["-O0", "-g", "-fno-omit-frame-pointer", f"-I{ROOT / 'c_samples'}", "-o", str(target)]
            try:
                subprocess.run([*compiler, *common, str(ROOT / "tests/witness/raised.c")], check=True)
            except FileNotFoundError:
                pytest.skip(f"{compiler[0]} is not installed")
        return str(target)

    return build


def told(recorded: Recorded) -> dict[str, dict[str, int]]:
    """Return by deed what its handler was given."""
    facts = recorded.facts
    names = [name for name in names_in(facts) if facts[f"{name}_signal"] != "0"]
    wanted = ("signal", "si_code", "trapno", "error_code", "fault_address")
    return {name: {what: int(facts[f"{name}_{what}"]) for what in wanted} for name in names}


def by_deed(recorded: Recorded) -> dict[str, Signal]:
    return dict(zip(told(recorded), recorded.signals, strict=True))


def assert_complete(recorded: Recorded, *, except_for: tuple[str, ...] = ()) -> None:
    recorded.assert_balanced()
    if recorded.trace.meta.how["faults in kernel mode"] != "exact":  # then some are only counted
        except_for += ("page faults", "fault samples", "pages the observer")
    for line in recorded.trace.meta.ledger:
        assert line.verdict == "COMPLETE" or line.identity.startswith(except_for or ("-",)), line


def assert_as_the_handler(recorded: Recorded) -> None:
    """Every signal has the number, code and address that its handler was given; the exception is trapno's."""
    for name, fact in told(recorded).items():
        event = by_deed(recorded)[name]
        code = fact["si_code"] - (1 << 64) if fact["si_code"] >> 63 else fact["si_code"]
        assert (number_of_signal(event.signal), event.code) == (fact["signal"], code), name
        assert event.ring == 3, name
        assert not event.fatal, name
        if name in SENT:
            assert (event.exception, event.reason, event.access, event.instruction) == (None, None, None, None), name
            continue
        if event.address is not None:
            assert event.address == fact["fault_address"], name
        if name != "vsyscall_jump":  # the kernel raises that signal by itself, and leaves trapno as it was
            assert event.exception == TRAPS[fact["trapno"]], name
        if event.exception == "#PF" and name != "vsyscall_jump":
            assert_access_is_the_processors(name, event, fact["error_code"])


def assert_access_is_the_processors(name: str, event: Signal, error: int) -> None:
    expected = "exec" if error & FETCH else "write" if error & WRITE else "read"
    assert event.access == expected, name
    if error & PRESENT and event.address is not None and event.address < KERNEL_HALF:
        assert event.protection is not None, name
    if event.protection is None:
        assert not error & PRESENT or (event.address or 0) >= KERNEL_HALF, name


def assert_lines(recorded: Recorded, source: str) -> None:
    """Each signal's line is the one that the sample says."""
    for name, event in by_deed(recorded).items():
        if name in SENT or name == "return_nowhere" or event.site is None:
            continue
        assert (event.site.file or "").endswith(f"/{source}"), name
        assert event.site.line == int(recorded.facts[f"line_{name}"]), name


def instruction_words(text: str) -> str:
    """Return a mnemonic without what AT&T's syntax adds: movzbl is movzx, movb is mov."""
    name = text.split()[0]
    name = {"movzbl": "movzx", "movzwl": "movzx"}.get(name, name)
    return name[:-1] if name in ("movb", "movw", "movl", "movq", "idivl", "retq") else name


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", SAMPLES)
def test_signals_are_those_of_the_handler_and_of_the_processor(
    name: str, ending: str, sample: Sample, variant: Sample, recorded: Record
) -> None:
    run = recorded(variant(name + ending) if ending else sample(name), options=("-q",))
    assert run.status == 0
    assert_as_the_handler(run)
    assert_lines(run, f"{name}.c")
    assert_complete(run)
    wanted = REASONS if name == "forbidden" else dict.fromkeys(PRIVILEGED, "privileged instruction")
    assert {deed: event.reason for deed, event in by_deed(run).items()} == {deed: wanted[deed] for deed in told(run)}


@needs("strace")
@pytest.mark.parametrize("ending", ["", "-i386"])
@pytest.mark.parametrize("name", SAMPLES)
def test_signals_in_order_equal_straces(
    name: str, ending: str, sample: Sample, variant: Sample, recorded: Record
) -> None:
    program = variant(name + ending) if ending else sample(name)
    run = recorded(program, options=("-q", "--aslr", "off"))
    seen = strace_run(["setarch", "-R", program], options=("-e", "trace=none"))
    assert [(each.name, each.code, each.address) for each in seen.signals] == [
        (event.signal, event.code, event.address) for event in run.signals
    ]


@needs("gdb")
@pytest.mark.parametrize(
    ("program", "name"), [("privileged", name) for name in PRIVILEGED] + [("forbidden", name) for name in FORBIDDEN]
)
def test_each_signal_is_the_stop_that_gdb_sees(program: str, name: str, sample: Sample, recorded: Record) -> None:
    # gdb, too, runs its programs without address randomisation; its LINES and COLUMNS move the stack.
    event = by_deed(recorded(sample(program), options=("-q", "--aslr", "off")))[name]
    stop = faulting(sample(program), name)
    assert (event.signal, event.code, event.ring) == (stop.signal, stop.code, stop.cs & 3)
    if name != "stack_overrun":
        assert event.address == stop.address
    assert instruction_words(event.instruction or "") == instruction_words(stop.instruction)
    assert event.site is not None
    assert event.site.line == (stop.called_from if name == "jump_into_data" else stop.line)


UNCAUGHT = [
    "cli", "kernel_load", "read_only_store", "jump_into_data", "beyond_file", "stack_overrun", "division", "undefined",
]  # fmt: skip


@pytest.mark.parametrize("name", UNCAUGHT)
def test_a_deed_that_nobody_catches_ends_the_program(name: str, sample: Sample, recorded: Record) -> None:
    program = "privileged" if name in PRIVILEGED else "forbidden"
    alone = recorded(sample(program), name, options=("--full",))
    caught = by_deed(recorded(sample(program), options=("-q", "--aslr", "off")))[name]
    [event] = alone.signals
    assert event.fatal
    assert (event.signal, event.code, event.exception, event.reason, event.access, event.instruction) == (
        caught.signal, caught.code, caught.exception, caught.reason, caught.access, caught.instruction,
    )  # fmt: skip
    assert alone.status == -number_of_signal(event.signal)
    assert alone.status == subprocess.run([sample(program), name], capture_output=True, check=False).returncode
    assert_complete(alone)
    assert alone.stderr.count("What the processor refused") == 1
    assert event.exception is not None
    assert event.exception in alone.stderr


@pytest.mark.parametrize("half", ["first", "second"])
@pytest.mark.parametrize("ending", ["", "-i386"])
def test_rarer_exceptions_are_what_the_processor_says(
    half: str, ending: str, raised: Callable[[str], str], recorded: Record
) -> None:
    run = recorded(raised(ending), half, options=("-q",))
    assert run.status == 0
    assert len(run.signals) >= 20
    assert_as_the_handler(run)
    assert_lines(run, "raised.c")
    assert_complete(run)
    for name, event in by_deed(run).items():
        default = "null pointer" if event.exception == "#PF" else None
        assert event.reason == RAISED_REASONS.get(name, default), name


@pytest.mark.parametrize(
    ("name", "signal", "exception", "instruction"),
    [
        ("alignment", "SIGBUS", "#AC", "mov eax,"),
        ("step_flag", "SIGTRAP", "#DB", "add rsp,"),
        ("breakpoint", "SIGTRAP", "#BP", "int3"),
        ("int_4", "SIGSEGV", "#OF", "int 4"),
    ],
)
def test_traps_that_nobody_catches(
    name: str, signal: str, exception: str, instruction: str, raised: Callable[[str], str], recorded: Record
) -> None:
    run = recorded(raised(""), name)
    [event] = run.signals
    assert (event.signal, event.exception, event.fatal) == (signal, exception, True)
    assert (event.instruction or "").startswith(instruction)
    assert event.site is not None
    assert event.site.line == int(run.facts[f"line_{name}"])
    assert run.status == -number_of_signal(signal)


def test_a_protection_key_closes_a_page(tmp_path: Path, recorded: Record) -> None:
    if " pku " not in Path("/proc/cpuinfo").read_text().replace("\n", " "):
        pytest.skip("this processor has no protection keys (pku)")
    source = """
        #define _GNU_SOURCE
        #include <sys/mman.h>
        int main(void) {
            char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            *p = 1;
            int key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
            pkey_mprotect(p, 4096, PROT_READ | PROT_WRITE, key);
            return *p;
        }"""
    program = tmp_path / "keys"
    subprocess.run(["gcc", "-g", "-x", "c", "-", "-o", str(program)], input=source, text=True, check=True)
    [event] = recorded(str(program), options=("-q",)).signals
    assert (event.signal, event.code, event.exception, event.reason) == ("SIGSEGV", 4, "#PF", "protection key")
