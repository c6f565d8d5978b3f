"""Registers as the kernel hands them over, beside python-ptrace's structure."""

from __future__ import annotations

import re

from ptrace.binding.linux_struct import user_regs_struct

from observer.arch.aarch64 import AARCH64
from observer.arch.known import NATIVE
from observer.linux.ptrace import RegisterSet, bits_of


def test_registers_lie_where_python_ptrace_has_them() -> None:
    theirs = {name: getattr(user_regs_struct, name).offset for name, _type in user_regs_struct._fields_}
    if NATIVE is AARCH64:  # r0 … r30 there
        theirs = {re.sub(r"^r(?=\d)", "x", name): offset for name, offset in theirs.items()}
    assert {name: 8 * place for name, place in NATIVE.registers.places.items()} == theirs


def test_a_register_set_has_a_word_for_each() -> None:
    words = RegisterSet().words
    assert (len(words), words.format, words.itemsize, words.readonly) == (len(NATIVE.registers.names), "Q", 8, False)


def test_how_wide_code_is_stands_in_its_mode_register() -> None:
    words = RegisterSet().words
    assert bits_of(words) == 64
    words[NATIVE.registers.mode] = NATIVE.modes.narrow[1]
    assert bits_of(words) == 32
