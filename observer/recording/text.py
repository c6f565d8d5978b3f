"""What is kept on disk as JSON is UTF-8, whatever bytes the names in it have."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from observer.model.filenames import as_text

__all__ = ["to_json"]

_encode: Final = msgspec.json.Encoder().encode


def to_json(value: Any) -> bytes:
    """Return *value* as one line of JSON; names that are no UTF-8 are there as `as_text` has them."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_readable(msgspec.to_builtins(value)))


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, dict):
        return {_readable(key): _readable(item) for key, item in value.items()}
    return [_readable(item) for item in value] if isinstance(value, list | tuple) else value
