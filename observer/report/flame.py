"""What each place of a run weighs, for flame graphs: collapsed stacks (flamegraph.pl, speedscope) and speedscope's own.

Formats: a line `frame;frame;frame WEIGHT` each; https://www.speedscope.app/file-format-schema.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final, NamedTuple

from observer.model.filenames import safe
from observer.report.jsonl import encoded
from observer.story.weights import Stack, Weights

__all__ = ["KINDS", "write_collapsed", "write_speedscope"]

_SCHEMA: Final = "https://www.speedscope.app/file-format-schema.json"


class Kind(NamedTuple):
    """A kind of weight: what it is, speedscope's name of its unit, how much of it there is."""

    text: str
    unit: str
    of: Callable[[Weights], int]


KINDS: Final = {
    "bytes": Kind("bytes asked", "bytes", lambda weights: weights.bytes),
    "calls": Kind("allocator calls and system calls", "none", lambda weights: weights.calls),
    "time": Kind("time inside them", "nanoseconds", lambda weights: weights.ns),
    "frames": Kind("frames brought in", "none", lambda weights: weights.frames),
    "faults": Kind("page faults", "none", lambda weights: weights.faults),
    "live": Kind("bytes not freed", "bytes", lambda weights: weights.live),
}
"""The kinds of weight, by name."""
_SEPARATES: Final = str.maketrans({";": ":", "\n": " ", "\r": " "})
"""What parts frames or lines in this format, and stands for something else within a name."""


def write_collapsed(weights: Mapping[Stack, Weights], out: BinaryIO, by: str = "bytes") -> None:
    """Write one of KINDS, a line a stack; what has none of it has no line."""
    of = KINDS[by].of
    for stack, weight in weights.items():
        if of(weight) > 0:
            told = ";".join(safe(frame.translate(_SEPARATES)) for frame in stack)
            out.write(f"{told} {of(weight)}\n".encode())


def write_speedscope(weights: Mapping[Stack, Weights], name: str, out: BinaryIO) -> None:
    """Write one profile for each kind of weight, of the run called *name*."""
    frames: dict[str, int] = {}
    stacks = [[frames.setdefault(frame, len(frames)) for frame in stack] for stack in weights]
    profiles = [_profile(what, unit, stacks, list(map(of, weights.values()))) for what, unit, of in KINDS.values()]
    record = {
        "$schema": _SCHEMA, "name": name, "exporter": "malloc-observer", "activeProfileIndex": 0,
        "shared": {"frames": [{"name": frame} for frame in frames]}, "profiles": profiles,
    }  # fmt: skip
    out.write(encoded(record) + b"\n")


def _profile(name: str, unit: str, stacks: list[list[int]], weights: list[int]) -> dict[str, Any]:
    kept = [(stack, weight) for stack, weight in zip(stacks, weights, strict=True) if weight > 0]
    return {
        "type": "sampled", "name": name, "unit": unit, "startValue": 0,
        "endValue": sum(weight for _stack, weight in kept), "samples": [stack for stack, _weight in kept],
        "weights": [weight for _stack, weight in kept],
    }  # fmt: skip
