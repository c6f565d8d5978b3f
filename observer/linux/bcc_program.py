"""A program of its own, for the system's Python: what bcc (python3-bpfcc) sees of a process tree, as records to stdout.

    /usr/bin/python3 -I bcc_program.py STATUS

It imports nothing of ours, since bcc belongs to the system's Python. Records are those of `recording.records`,
KERNEL_EVENT; STATUS is a descriptor that lines of JSON go to: whether it works, that it follows the process whose
number it read from standard input, and, when that has ended, what it counted. It leaves its parent at once, which takes
all its children for tracees. The BPF program follows the children of the process, too, and counts what found no room in
its ring (BPF_MAP_TYPE_RINGBUF, Linux 5.8).
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import sys
from typing import Any

__all__ = ["main"]

_PROGRAM = """
#include <linux/mm.h>

struct record { u64 time; u32 pid; u32 tid; u16 what; u16 flags; u32 order; u64 value; };

BPF_RINGBUF_OUTPUT(records, 4096);
BPF_PERCPU_ARRAY(counts, u64, 2);
BPF_HASH(tree, u32, u8, 65536);
BPF_HASH(under_way, u32, struct record, 65536);

static inline int is_ours(u64 id)
{
    u32 process = id >> 32, thread = id;
    return tree.lookup(&process) || tree.lookup(&thread);
}

static inline void fill(struct record *record, u64 id, u16 what, u64 value)
{
    record->time = bpf_ktime_get_ns();
    record->pid = id >> 32;
    record->tid = id;
    record->what = what;
    record->flags = WITNESS;
    record->order = 0;
    record->value = value;
}

static inline void give(struct record *record)
{
    counts.increment(0);
    if (records.ringbuf_output(record, sizeof(*record), 0))
        counts.increment(1);
}

TRACEPOINT_PROBE(sched, sched_process_fork)
{
    u64 id = bpf_get_current_pid_tgid();
    u32 child = args->child_pid;
    u8 one = 1;
    if (is_ours(id))
        tree.update(&child, &one);
    return 0;
}

TRACEPOINT_PROBE(kmem, mm_page_alloc)
{
    u64 id = bpf_get_current_pid_tgid();
    struct record record;
    if (is_ours(id)) {
        fill(&record, id, FRAMES, args->pfn);
        record.order = args->order;
        give(&record);
    }
    return 1;  /* 0 would keep it from perf (trace_call_bpf, kernel/trace/bpf_trace.c) */
}
"""

_PROBES = """
int handling(struct pt_regs *ctx, void *area, unsigned long address)
{
    u64 id = bpf_get_current_pid_tgid();
    u32 thread = id;
    struct record record;
    if (!is_ours(id))
        return 0;
    fill(&record, id, HANDLED, address);
    under_way.update(&thread, &record);
    return 0;
}

int handled(struct pt_regs *ctx)
{
    u32 thread = bpf_get_current_pid_tgid();
    struct record *began = under_way.lookup(&thread);
    struct record record;
    if (!began)
        return 0;
    record = *began;
    under_way.delete(&thread);
    record.order = bpf_ktime_get_ns() - record.time;
    give(&record);
    return 0;
}
"""

# What recording.records says of them.
_WORDS = {"FRAMES": 1, "HANDLED": 4, "WITNESS": 8}
_TENTH = 100  # milliseconds


def _kprobes_refused() -> str:
    """Return why no kprobe can be set here; empty if one can."""
    try:
        with open("/sys/kernel/security/lockdown", encoding="ascii") as file:
            if "[confidentiality]" in file.read():
                return "the kernel is locked down (confidentiality)"
    except OSError:
        pass  # securityfs need not be mounted: the attempt itself is refused then
    try:
        with open("/sys/kernel/debug/kprobes/enabled", encoding="ascii") as file:
            if file.read().strip() == "0":
                return "kprobes are switched off (/sys/kernel/debug/kprobes/enabled)"
    except OSError:
        pass  # debugfs need not be mounted: kallsyms tells whether the kernel has them
    with open("/proc/kallsyms", encoding="ascii") as file:
        names = {line.split()[2] for line in file}
    return "" if "register_kprobe" in names else "this kernel has no kprobes (CONFIG_KPROBES)"


def _loaded(bcc: Any, refused: str) -> tuple[Any, str]:
    """Return the BPF program, attached, and why it has no kprobes."""
    flags = [*(f"-D{name}={value}" for name, value in _WORDS.items()), "-w"]
    if not refused:
        try:
            program = bcc.BPF(text=_PROGRAM + _PROBES, cflags=flags)
            program.attach_kprobe(event="handle_mm_fault", fn_name="handling")
            program.attach_kretprobe(event="handle_mm_fault", fn_name="handled")
            return program, ""
        except Exception as error:  # bcc raises Exception itself
            refused = str(error)
    return bcc.BPF(text=_PROGRAM, cflags=flags), refused


def _reason(said: str, error: Exception) -> str:
    """Return why bcc does not work: the telling line of what it and its compiler *said*, else what it raised."""
    for mark in ("Unable to find kernel headers", "error:"):
        for line in said.splitlines():
            if mark in line:
                return line.partition(". Try")[0]
    return f"{type(error).__name__}: {error}"


def main() -> None:
    """Follow a process tree until standard input ends."""
    status = os.fdopen(int(sys.argv[1]), "w")
    out, said = os.fdopen(os.dup(1), "wb"), os.memfd_create("said")
    for stream in (1, 2):  # bcc writes to both, and records alone may go to the first
        os.dup2(said, stream)
    if os.fork():
        os._exit(0)
    os.setsid()

    def say(**what: Any) -> None:
        status.write(json.dumps(what) + "\n")
        status.flush()

    try:
        import bcc  # type: ignore[import-not-found]

        program, refused = _loaded(bcc, _kprobes_refused())
    except Exception as error:  # whatever it is, our parent says it
        ctypes.CDLL(None).fflush(None)
        say(works=False, why=_reason(os.pread(said, 1 << 16, 0).decode(errors="replace"), error))
        return

    def take(_context: Any, data: Any, size: int) -> None:
        out.write(ctypes.string_at(data, size))

    program["records"].open_ring_buffer(take)
    say(works=True, kprobes_refused=refused)
    root = os.read(0, 32)
    if not root:
        return
    program["tree"][ctypes.c_uint32(int(root))] = ctypes.c_uint8(1)
    say(works=True, kprobes_refused=refused)
    while not select.select([0], [], [], 0)[0]:
        program.ring_buffer_poll(_TENTH)
    program.ring_buffer_consume()
    out.flush()
    counts = [sum(program["counts"][ctypes.c_int(place)]) for place in (0, 1)]
    say(counted=counts[0], lost=counts[1])


if __name__ == "__main__":
    main()
