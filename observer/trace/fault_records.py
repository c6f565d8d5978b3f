"""Samples of page faults, as perf wrote them into a ring: taken out of what else lies there."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from observer.instruments.faults import FAULT_FIELDS, PERF_RECORD_SAMPLE, SampleLayout

__all__ = ["fault_layout", "samples_of"]

_HEADER: Final = struct.Struct("<IHH")  # struct perf_event_header: type, misc, size


def fault_layout(layout: SampleLayout) -> np.dtype[np.void]:
    """Return a sample as a numpy record, with the stack that was copied with it."""
    fields = list(FAULT_FIELDS)
    if layout.stack_bytes:
        fields += [("stack", f"V{layout.stack_bytes}"), ("stack_length", "<u8")]
    return np.dtype(fields)


def samples_of(raw: bytes, dtype: np.dtype[np.void]) -> tuple[bytes, int]:
    """Return the samples at the beginning of *raw*, each as long as *dtype*, and how many bytes of it were read."""
    whole = np.frombuffer(raw, dtype=dtype, count=len(raw) // dtype.itemsize)
    if len(whole) and ((whole["type"] == PERF_RECORD_SAMPLE) & (whole["size"] == dtype.itemsize)).all():
        return raw[: len(whole) * dtype.itemsize], len(whole) * dtype.itemsize
    return _walk(raw, dtype)


def _walk(raw: bytes, dtype: np.dtype[np.void]) -> tuple[bytes, int]:
    """Take the samples out of records of all kinds, or samples without user registers; return as `samples_of`."""
    samples: list[bytes] = []
    at = 0
    while at + _HEADER.size <= len(raw):
        kind, _misc, size = _HEADER.unpack_from(raw, at)
        if size < _HEADER.size or at + size > len(raw):
            break
        if kind == PERF_RECORD_SAMPLE:
            samples.append(raw[at : at + size][: dtype.itemsize].ljust(dtype.itemsize, b"\0"))
        at += size
    return b"".join(samples), at
