"""What each place of a run weighs, for flame graphs: collapsed stacks (flamegraph.pl, speedscope) and speedscope's own.

Formats: a line `frame;frame;frame WEIGHT` each; https://www.speedscope.app/file-format-schema.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

from observer.report.jsonl import encoded
from observer.story.weights import Stack, Weights

__all__ = ["write_collapsed", "write_speedscope"]

_SCHEMA: Final = "https://www.speedscope.app/file-format-schema.json"
_PROFILES: Final[tuple[tuple[str, str, Callable[[Weights], int]], ...]] = (
    ("bytes asked", "bytes", lambda weights: weights.bytes),
    ("allocator calls and system calls", "none", lambda weights: weights.calls),
    ("time inside them", "nanoseconds", lambda weights: weights.ns),
    ("frames brought in", "none", lambda weights: weights.frames),
)
_SEPARATES: Final = str.maketrans({";": ":", "\n": " ", "\r": " "})


def write_collapsed(weights: Mapping[Stack, Weights], out: BinaryIO) -> None:
    """Write the bytes that were asked for, a line a stack; what asked for none has no line."""
    for stack, weight in weights.items():
        if weight.bytes:
            told = ";".join(frame.translate(_SEPARATES) for frame in stack)
            out.write(f"{told} {weight.bytes}\n".encode("utf-8", "backslashreplace"))


def write_speedscope(weights: Mapping[Stack, Weights], name: str, out: BinaryIO) -> None:
    """Write one profile for each kind of weight, of the run called *name*."""
    frames: dict[str, int] = {}
    stacks = [[frames.setdefault(frame, len(frames)) for frame in stack] for stack in weights]
    profiles = [_profile(what, unit, stacks, list(map(of, weights.values()))) for what, unit, of in _PROFILES]
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
