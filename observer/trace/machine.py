"""The machine's facts for meta.json: psutil for what it knows, /proc and /sys for the rest."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

import observer
from observer.model.machine import Image, Machine

__all__ = ["describe_machine", "with_libc"]

_OVERCOMMIT: Final = {"0": "heuristic", "1": "always", "2": "never beyond the limit"}
_ASLR: Final = {"0": "off", "1": "on, without the heap", "2": "on"}


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def _chosen(text: str | None) -> str:
    """Return the bracketed word of a sysfs choice such as `always [madvise] never`."""
    if text is None:
        return "unknown"
    return text.partition("[")[2].partition("]")[0] or text


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else None


def _cgroup_limit() -> int | None:
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = _number(_text(path))
        if limit is not None and limit < 1 << 60:
            return limit
    return None


def describe_machine() -> Machine:
    """Return what this machine is and allows, as far as this user may know."""
    uname = os.uname()
    return Machine(
        kernel=f"{uname.sysname} {uname.release}", architecture=uname.machine,
        processors=psutil.cpu_count() or 1, page_size=os.sysconf("SC_PAGESIZE"),
        memory_bytes=psutil.virtual_memory().total,
        thp=_chosen(_text("/sys/kernel/mm/transparent_hugepage/enabled")),
        aslr=_ASLR.get(_text("/proc/sys/kernel/randomize_va_space") or "", "unknown"),
        overcommit=_OVERCOMMIT.get(_text("/proc/sys/vm/overcommit_memory") or "", "unknown"),
        perf_event_paranoid=_number(_text("/proc/sys/kernel/perf_event_paranoid")),
        yama_ptrace_scope=_number(_text("/proc/sys/kernel/yama/ptrace_scope")),
        cgroup_memory_limit=_cgroup_limit(), uid=os.geteuid(), observer=observer.__version__,
        python=platform.python_version(),
    )  # fmt: skip


def with_libc(machine: Machine, images: Sequence[Image]) -> Machine:
    """Return *machine* with the C library that the program really used, and how wide the program's words are."""
    import msgspec

    programs = [image for image in images if image.role == "program"]
    # Other libraries of glibc name no release.
    libraries = sorted((image for image in images if image.role == "libc"), key=lambda image: not image.release)
    for program in programs[:1]:
        machine = msgspec.structs.replace(machine, program_bits=program.bits)
    for libc in libraries[:1]:
        machine = msgspec.structs.replace(
            machine, libc=libc.path, libc_build_id=libc.build_id, libc_version=libc.release
        )
    return machine
