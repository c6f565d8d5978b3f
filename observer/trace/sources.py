"""Adding to a finished trace where each allocation came from, once a model has told."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from observer.model.machine import Meta
from observer.trace.finish import write_meta
from observer.trace.reader import Trace
from observer.trace.tables import write_table

__all__ = ["add_sources"]


def add_sources(trace: Trace, sources: Mapping[int, str], how: str) -> Meta:
    """Fill the column `served_by` of the calls by their numbers, and note *how* it is known; return the new meta.json.

    Raises:
        BadTrace: the trace cannot be read or written.
    """
    if sources:
        numbers = np.fromiter(sources, dtype=np.int64, count=len(sources))
        calls = trace.table("call")
        known = {"n": numbers, "source": np.array(list(sources.values()), dtype=object)}
        query = (
            f"select calls.* replace (known.source as served_by) from read_parquet('{calls.path}') calls "
            "left join known on calls.n = known.n order by calls.n"
        )
        write_table(trace.folder, "call", query, known=known)
    changed = msgspec.structs.replace(trace.meta, how={**trace.meta.how, "call.served_by": how})
    write_meta(trace.folder, changed)
    return changed
