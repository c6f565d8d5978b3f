"""Adding to a finished trace where each allocation came from, once a model has told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import duckdb
import msgspec
import numpy as np

from observer.errors import BadTrace
from observer.model.machine import Meta
from observer.trace.finish import write_meta
from observer.trace.tables import TABLES

__all__ = ["add_sources"]


def add_sources(directory: Path, meta: Meta, sources: Mapping[int, str], how: str) -> Meta:
    """Fill the column `served_by` of the calls by their numbers, and note *how* it is known; return the new meta.json.

    Raises:
        BadTrace: the trace cannot be written.
    """
    path = directory / TABLES["call"]
    partial = path.with_suffix(".partial")
    connection = duckdb.connect()
    try:
        if sources:
            numbers = np.fromiter(sources, dtype=np.int64, count=len(sources))
            connection.register("known", {"n": numbers, "source": np.array(list(sources.values()), dtype=object)})
            target = str(partial).replace("'", "''")
            connection.execute(
                "copy (select calls.* replace (known.source as served_by) from read_parquet(?) calls "
                f"left join known on calls.n = known.n order by calls.n) to '{target}' "
                "(format parquet, compression zstd)", [str(path)],
            )  # fmt: skip
            os.replace(partial, path)
        changed = msgspec.structs.replace(meta, how={**meta.how, "call.served_by": how})
        write_meta(directory, changed)
    except (duckdb.Error, OSError) as error:
        raise BadTrace(f"cannot write {path}", str(error).splitlines()[0]) from error
    finally:
        connection.close()
    return changed
