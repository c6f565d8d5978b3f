"""The inline recorder's code for AArch64, done by a processor or by QEMU: what it records, and that nothing is felt."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from observer.arch.aarch64 import AARCH64
from observer.code import elf as elf_module
from observer.code.a64 import emulation_of
from observer.code.elf import Elf
from observer.code.exits import exits_of
from observer.recording.slots import HAS_MORE, OPEN, unfolded, whole
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.inline import assembled as assembled_module
from observer.tracee.inline.annex import Annex, Plan, lay_out, room_for
from observer.tracee.inline.assembled import Stub, assembled
from observer.tracee.inline.landing_code import landing_code_of
from observer.tracee.inline.ring import Block, Ring
from observer.tracee.inline.shapes import EACH_A_PIECE

IS_NATIVE = os.uname().machine == "aarch64"
COMPILER = "gcc" if IS_NATIVE else "aarch64-linux-gnu-gcc"
EMULATOR = [] if IS_NATIVE else ["qemu-aarch64", "-cpu", "max"]

pytestmark = [
    pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"{COMPILER} is not installed"),
    pytest.mark.skipif(bool(EMULATOR) and shutil.which(EMULATOR[0]) is None, reason="qemu-aarch64 is not installed"),
]

HERE = Path(__file__).resolve().parent
NAMES = (
    "plain", "paged", "literal", "conditional", "tested", "nesting", "landed", "becoming", "filling", "storing",
)  # fmt: skip
MARK = 1 << 63
ANNEX, RING = 0x120_0000, 0x1_0000_0000
ADDRESSES = (1 << 48) - 1
STORES, KEEPS = NAMES.index("storing"), {"nesting": -24}
"""Which function stores its result, and where x30 is saved, from the stack pointer at the entry."""


class Ran(NamedTuple):
    """What a program printed, the records that it wrote, and with which pieces of stack."""

    lines: list[str]
    records: npt.NDArray[Any]
    pieces: npt.NDArray[Any]
    annex: Annex
    sp: int


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elf]:
    """Return the program, read as a file of this machine's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(elf_module._OURS, (64, "EM_AARCH64"), AARCH64)
        path = tmp_path_factory.mktemp("inline") / "inline_a64"
        sources = (str(HERE / "inline_a64.c"), str(HERE / "inline_a64.S"))
        subprocess.run([COMPILER, "-O1", "-static", "-o", str(path), *sources], check=True)
        yield Elf(str(path))


@pytest.fixture(scope="module")
def stub(program: Elf, tmp_path_factory: pytest.TempPathFactory) -> Stub:
    code = landing_code_of(AARCH64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", COMPILER)
        patch.setattr(assembled_module, "_CODE", code)
        patch.setattr(assembled_module, "_SOURCE", Path(assembled_module.__file__).with_name(code.source))
        return assembled(tmp_path_factory.mktemp("stub"), stack=EACH_A_PIECE.large.bytes)


def point_at(elf: Elf, address: int, **role: Any) -> Breakpoint:
    code = elf.read(address, 24)
    emulation = emulation_of(code, address) or emulation_of(b"\x1f\x20\x03\xd5", address)
    assert emulation is not None
    return Breakpoint(address, code, emulation, listener=0, planted=AARCH64.trap.code, **role)


def plan_of(elf: Elf) -> Plan:
    entries: dict[int, Breakpoint] = {}
    ends: dict[int, Breakpoint] = {}
    places = {name: elf.definitions_of([name])[0].address for name in NAMES}
    for number, name in enumerate(NAMES):
        tails = frozenset({NAMES.index("plain")} if name == "becoming" else ())
        entries[places[name]] = point_at(
            elf, places[name], number=number, entry=places[name], saved_return=KEEPS.get(name), tails=tails
        )
        exits = exits_of(elf, places[name])
        ends |= {place: point_at(elf, place, leaves=True) for place in exits.returns | exits.jumps}
    return Plan(elf, 0, entries, ends)


def ran(elf: Elf, stub: Stub, folder: Path, *, is_slow: bool = False, libc: tuple[int, int] = (0, 0)) -> Ran:
    """Run the program with its functions' calls recorded."""
    numbers: list[Breakpoint] = []

    def number(point: Breakpoint) -> int:
        numbers.append(point)
        return len(numbers) - 1

    plan = plan_of(elf)
    annex = lay_out(
        plan, stub, ANNEX, words=0, table=RING, libc=[libc] if libc[1] else [], mask=ADDRESSES, number=number,
        stores={STORES}, long=(), stands=lambda stretch: True,
    )  # fmt: skip
    assert len(annex.code) == room_for(plan, stub)
    image = [(ANNEX, bytes(annex.code)), *((hook.address, hook.planted) for hook in annex.hooks)]
    (folder / "image").write_bytes(b"".join(struct.pack("<2Q", at, len(code)) + code for at, code in image))
    ring = Ring(os.open(folder / "ring", os.O_RDWR | os.O_CREAT, 0o600), RING, EACH_A_PIECE)
    words = [*EMULATOR, elf.path, str(folder / "image"), str(folder / "ring"), str(RING), str(ring.size)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base, sp = (int(word) for word in process.stdout.readline().split())
        block = ring.block_for(base)
        assert block is not None
        block.be_slow(is_slow)
        block.know_stack(sp - 4096, 8192, sp + 4096)
        output = process.communicate("\n", timeout=100)[0]
    assert process.returncode == 0
    found = Ran(output.splitlines(), *copied(block), annex, sp)
    ring.close()
    return found


def joined(found: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return calls with all that both of their records say."""
    assert whole(found) == len(found)
    calls = unfolded(found)
    made = np.zeros(len(calls), dtype=OPEN)
    for name in found.dtype.names or ():
        made[name] = calls.column(name)
    made["function"] &= ~HAS_MORE & 0xFFFF_FFFF
    for name in ("began", "ended", "a2", "stack"):
        made[name] = getattr(calls, name)
    return made


def copied(block: Block) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    assert block.is_sound
    assert not block.is_open
    filled = block.take()
    records, pieces = joined(filled.records), filled.pieces.there.copy()
    step = np.uint64(filled.pieces.there.dtype.itemsize)
    has_piece = records["stack"] > 0
    records["stack"][has_piece] = (records["stack"][has_piece] - np.uint64(filled.pieces.first)) // step + np.uint64(1)
    return records, pieces


def plain_lines(elf: Elf, folder: Path) -> list[str]:
    """What the program prints by itself."""
    (folder / "empty").touch()
    (folder / "some").write_bytes(bytes(4096))
    words = [*EMULATOR, elf.path, str(folder / "empty"), str(folder / "some"), str(RING), "4096"]
    done = subprocess.run(words, input="\n", capture_output=True, text=True, check=True, timeout=100)
    return done.stdout.splitlines()[1:]


def told(lines: list[str]) -> list[str]:
    """The lines without addresses of the stack and without what is asked."""
    return [" ".join(word for word in line.split() if len(word) < 12) for line in lines if "asked" not in line]


def test_everything_gives_way(program: Elf, stub: Stub, tmp_path: Path) -> None:
    annex = ran(program, stub, tmp_path).annex
    plan = plan_of(program)
    assert annex.kept == []
    assert len(annex.hooks) == len(plan.entries) + len(plan.ends)
    assert len([hook for hook in annex.hooks if hook.function >= 0]) == len(NAMES)


def test_calls_are_recorded_and_come_to_the_same(program: Elf, stub: Stub, tmp_path: Path) -> None:
    found = ran(program, stub, tmp_path)
    assert told(found.lines) == told(plain_lines(program, tmp_path))
    assert found.lines[-1] == "asked 0"
    calls = [line.split() for line in found.lines if line.split()[0] in NAMES]
    records = found.records[: len(calls)]
    for record, (name, *numbers) in zip(records, calls, strict=True):
        a, b, c, result = (int(word) for word in numbers)
        stored = b if b else 0
        assert NAMES[int(record["function"]) & MARK - 1 & 0x7FFF_FFFF] == name
        assert (record["a0"], record["a1"], record["a2"]) == (a, b, c)
        assert record["result"] == (stored if name == "storing" else result)
        assert record["function"] >> 31 == (name == "storing")
        assert record["inner"] == (name in ("nesting", "becoming"))
        assert record["sp"] % 16 == 0
        assert record["ret"] < ADDRESSES
        assert program.function_at(int(record["ret"])) == "call"
    assert len({int(record["sp"]) for record in records}) == 1
    others = found.records[len(calls) :]
    assert [NAMES[int(record["function"])] for record in others] == ["filling", "nesting", "filling", "landed"]
    assert others["result"][0] == program.variable("filled")
    times = np.column_stack((found.records["began"], found.records["ended"])).ravel()
    assert (np.diff(times.astype(np.int64)) >= 0).all()
    assert times[0] > 0


def test_nothing_is_recorded_of_a_slow_thread(program: Elf, stub: Stub, tmp_path: Path) -> None:
    found = ran(program, stub, tmp_path, is_slow=True)
    assert told(found.lines) == told(plain_lines(program, tmp_path))
    assert len(found.records) == 0
    assert int(found.lines[-1].split()[1]) > 2 * len(NAMES)


def test_callers_have_pieces_of_stack(program: Elf, stub: Stub, tmp_path: Path) -> None:
    call = program.definitions_of(["kept"])[0]
    found = ran(program, stub, tmp_path, libc=(call.address, call.address + call.size))
    of_kept = found.records["stack"] > 0
    assert [NAMES[int(record["function"])] for record in found.records[of_kept]] == ["nesting", "filling", "landed"]
    assert found.records["stack"][of_kept].tolist() == [1, 2, 3]
    for record, piece in zip(found.records[of_kept], found.pieces, strict=True):
        assert piece["sp"] == record["sp"]
        assert piece["bx"] == record["ret"]
        assert piece["bp"] == record["sp"]
        assert piece["length"] == found.sp + 4096 - int(record["sp"])
        words = np.frombuffer(piece["bytes"].tobytes(), dtype="<u8")[: int(piece["length"]) // 8]
        assert words[2:4].tolist() != [0, 0]
        assert program.function_at(int(words[1])) == "main"  # what kept itself returns to


def test_a_jump_reaches_its_landing_and_back(program: Elf, stub: Stub, tmp_path: Path) -> None:
    annex = ran(program, stub, tmp_path).annex
    code = landing_code_of(AARCH64)
    for hook in annex.hooks:
        target = code.target(hook.planted, hook.address)
        landing = annex.landing_at(target)
        assert landing is not None
        assert target in (landing.lead, landing.start)
        assert landing.trap + 4 == landing.resume
        assert annex.original(target) == landing.origin
    for landing in annex.landings.values():
        assert landing.trap in annex.points
        assert annex.code[landing.trap - ANNEX :][:4] == AARCH64.trap.code
