"""The book chapter's concepts and its six steps, in one place."""

from __future__ import annotations

from typing import Final

__all__ = ["CONCEPTS", "STEPS"]

CONCEPTS: Final = {
    "rings": "privilege levels, 0 (kernel) to 3 (applications)",
    "modes": "kernel code may touch everything, user code may not",
    "portal": "the system call is the only portal into the kernel",
    "stdlib": "the standard library hides the differences between systems",
    "allocators": "malloc is part of the standard library, and there are many",
    "gap": "the spare room between heap and stack",
    "brk": "malloc asks the operating system by brk when it finds no free piece",
    "virtual": "malloc returns virtual memory only; physical memory comes at first use",
    "two-level": "allocation happens twice: pieces in user mode, frames in the kernel",
    "story": "the six steps from malloc to a page frame",
}
"""Concept ids of the chapter, used in events, stories and labs alike."""

STEPS: Final = {
    1: "malloc searches a free piece",
    2: "none fits: malloc calls brk or the like",
    3: "kernel mode: the operating system extends the program's virtual memory",
    4: "the system call ends: back in malloc, in user mode",
    5: "malloc returns a fitting piece",
    6: "the code uses it: page fault, and physical memory is allocated",
}
"""The six steps of section 3.5.8."""
