"""Facts of glibc's allocator on 64-bit machines, by release: what simulator, comparison and replay agree on. Pure.

`chunks.py` is the geometry of chunks, `versions.py` what differs between releases, `tunables.py` what the environment
says, `parameters.py` what is in force after that.

A release that is not known yet: a row in `versions.VERSIONS`, with the fields that differ from the release before it.
"""
