"""Facts of glibc's allocator on 64-bit machines, by release: what simulator, comparison and replay agree on. Pure.

`chunks.py` is the geometry of chunks, `versions.py` what differs between releases, `tunables.py` what the environment
says, `parameters.py` what is in force after that, `layout.py` where the allocator's structures have what.

To add a release:

- A row in `versions.VERSIONS`: `replace` of the release before it with the fields that differ, or with its name alone.
  If it is the newest, `versions.nearest` takes it for those that are newer still.
- Where it does what no field can say: a new field of `Version`, explained in its docstring, whose default is what the
  releases before it do. The model (`observer.simulator.glibc`) asks for the field where it acts, and never for the
  name of a release; a new tunable goes into `tunables.BOUNDS` and is set in `parameters.py`.
- Where its structures have another layout: a row in `layout.LAYOUTS`.
- The lists of releases: `RELEASES` in `tests/unit/simulator/test_glibc_side.py`, those that must be told apart in
  `tests/properties/test_glibc_real.py`, and "2.31 to …" in the README and in `simulator/glibc/__init__.py`.
- The proof: `tests/properties/test_glibc_real.py` on a machine with that release, or in a root folder that
  `scripts/roots` made: every pointer, system call and touched page of random programs is predicted.
"""
