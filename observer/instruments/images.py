"""Which files with code a process has mapped, and what they are to us: program, loader, C library, library.

A file is the one that is mapped, whatever lies at its path. As it is mapped, its functions get their breakpoints. Where
calls cannot be seen, a note says of which process and why.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

import msgspec

from observer.code.definitions import undetermined
from observer.code.elf import Elf
from observer.code.mapped import load_mapped
from observer.instruments.allocator import AllocatorCalls
from observer.instruments.marks import Marks
from observer.instruments.observed import ObserversPages
from observer.instruments.probes import LibraryCalls
from observer.linux.regions import region_at, regions_within
from observer.model.addresses import Mapping
from observer.model.machine import Image
from observer.model.operations import OPERATIONS
from observer.recording.notes import MappedFile, MappedImage, Unobserved
from observer.recording.sink import Sink
from observer.tracee.task import Task

__all__ = ["Images", "program_of", "role_of"]

_STARTING: Final = ("__libc_start_main", "__uClibc_main", "__libc_init")
"""What a C library's start files call: of glibc and musl (Linux Standard Base), uClibc, bionic."""
_PART_OF_GLIBC: Final = "GLIBC_"
_LIBCXX: Final = "libc++"
_NO_SYMBOL: Final = "no function of the malloc family has a symbol in it (a stripped static program?)"
_UNREADABLE: Final = "it may be run but not read"
_CHOSEN: Final = "which code bears that name is chosen as the file is loaded, nobody can tell from what (STT_GNU_IFUNC)"
_UNDUMPABLE: Final = "the process forbade to be read (PR_SET_DUMPABLE)"
_SHARED: Final = "its code is mapped shared, and a breakpoint would be written into the file"


def role_of(elf: Elf, *, is_program: bool) -> str:
    """Return program, loader, libc or library, by what the file defines; *is_program* says that exec was asked for it.

    Musl's loader is its C library. What else belongs to glibc (libpthread before 2.34) defines versions of its names.
    """
    is_libc = any(map(elf.defines, _STARTING))
    if elf.soname and elf.defines("__tls_get_addr") and not is_libc:
        return "loader"  # also where it is started as a program, with the program's name as an argument
    if is_program or (elf.is_program and elf.interpreter is not None):
        return "program"
    if is_libc or elf.version.startswith(_PART_OF_GLIBC) or elf.soname.startswith(_LIBCXX):
        return "libc"
    return "library"


def program_of(tid: int) -> str:
    """Return the path of the program that runs, empty if that may not be known."""
    try:
        return os.readlink(f"/proc/{tid}/exe")
    except OSError:
        return ""


class Images:
    """Notes the images of all processes, and has the instruments plant in them."""

    def __init__(
        self, sink: Sink, allocator: AllocatorCalls | None, library: LibraryCalls, pages: ObserversPages,
        until: Marks | None,
    ) -> None:  # fmt: skip
        self._sink = sink
        self._allocator = allocator
        self._library = library
        self._pages = pages
        self._until = until
        self.unobserved: set[str] = set()

    def executed(self, task: Task, mappings: Iterable[Mapping], now: int) -> None:
        """*task* runs a new program: take what the kernel has mapped of it and of its loader.

        *mappings* are none where the program may not be read.
        """
        codes = [mapping.start for mapping in mappings if mapping.inode and "x" in mapping.protection]
        elves = [elf for elf in (self._image(task, start, now) for start in codes) if elf is not None]
        if self._allocator is None or task.memory is None or task.memory.entries:
            return
        if not codes:
            self._not_observed(task, program_of(task.tid), _UNREADABLE, now)
        elif len(elves) == len(codes) and not any(elf.interpreter or elf.soname for elf in elves):
            self._not_observed(task, program_of(task.tid), _NO_SYMBOL, now)  # nothing will load a library

    def mapped(self, task: Task, descriptor: int, start: int, length: int, now: int, *, executable: bool) -> None:
        """*task* has mapped the file of *descriptor* at *start*."""
        try:
            path = os.readlink(f"/proc/{task.tid}/fd/{descriptor}")
        except OSError:
            path = ""
        self._sink.notes.append(MappedFile(pid=task.pid, t=now, start=start, length=length, path=path))
        if executable:
            self._image(task, start, now, descriptor)

    def made_executable(self, task: Task, start: int, length: int, now: int) -> None:
        """*task* has made code of what lies in the range: loaders of their own kind map files to read, at first."""
        try:
            found = [region.mapping for region in regions_within(task.tid, start, start + length)]
        except PermissionError:
            return  # what forbids to be read: it was said of the file when it was mapped, or of the program
        for mapping in found:
            if mapping.inode and "x" in mapping.protection:
                self._image(task, mapping.start, now)

    def _image(self, task: Task, address: int, now: int, descriptor: int | None = None) -> Elf | None:
        try:
            region = region_at(task.tid, address)
        except PermissionError:
            self._not_observed(task, "a library", _UNDUMPABLE, now)
            return None
        if region is None or not region.mapping.inode:
            return None
        mapping = region.mapping
        try:
            elf = load_mapped(task.tid, region, descriptor)
        except OSError as error:
            self._not_observed(task, mapping.path, f"its file cannot be opened: {error.strerror}", now)
            return None
        bias = elf.bias_of(mapping.start, mapping.offset) if elf is not None else None
        if elf is None or bias is None:
            return None
        role = role_of(elf, is_program=program_of(task.tid) == mapping.path)
        self._note(task, now, mapping, elf, bias, role)
        self._plant(task, mapping, elf, bias, role, now)
        return elf

    def _note(self, task: Task, now: int, mapping: Mapping, elf: Elf, bias: int, role: str) -> None:
        image = Image(
            path=mapping.path, bias=bias, start=mapping.start, end=mapping.end, build_id=elf.build_id, role=role,
            bits=8 * elf.word, release=elf.glibc_release if role == "libc" else "", file=elf.identity,
        )  # fmt: skip
        self._sink.notes.append(MappedImage(pid=task.pid, t=now, **msgspec.structs.asdict(image)))
        if task.memory is not None:
            if self._allocator is not None:
                self._allocator.code_changes()
            task.memory.images.append(image)

    def _plant(self, task: Task, mapping: Mapping, elf: Elf, bias: int, role: str, now: int) -> None:
        memory = task.memory
        if memory is None:
            return
        memory.word = elf.word
        text = (mapping.start, mapping.end)
        if role in ("libc", "loader") and text not in memory.libc_text:
            memory.libc_text.append(text)
        if role == "loader" or (role == "program" and not memory.trap_home):
            # Where there is a loader, its entry ran first; the program's own is still to come.
            memory.trap_home = elf.entry + bias
        if mapping.shared:
            if elf.defines("malloc"):
                self._not_observed(task, mapping.path, _SHARED, now)
            return
        for name in undetermined(elf, OPERATIONS):
            self._not_observed(task, mapping.path, f"{name}: {_CHOSEN}", now)
        with self._pages.excluded():
            if self._allocator is not None:
                self._allocator.plant(task, elf, bias, mapping.start, mapping.end, role)
            if role == "program":
                self._library.plant(task, elf, bias, calls_seen=self._allocator is not None)
            self._library.plant_unwinder(task, elf, bias)
        if self._until is not None:
            self._until.plant(task, elf, bias, mapping.start, mapping.end)

    def _not_observed(self, task: Task, path: str, why: str, now: int) -> None:
        """Note that calls in *path* are not seen in this process, for the ledger to tell."""
        if self._allocator is not None:
            self._sink.notes.append(Unobserved(pid=task.pid, t=now, path=path, why=why))
            self.unobserved.add(f"calls in {path} are not observed: {why}")
