"""The recorder that runs inside the program (inline): records of calls without a stop.

`stub.S` is its code (`stub_aarch64.S` that for AArch64), `assembled.py` makes bytes of it; `landing_code.py` knows what
else differs between architectures (`landing_x86_64.py`, `landing_aarch64.py`). `annex.py` lays out what is put near a
library to serve its functions, `ring.py` is the memory that it writes and we read, `space.py` has both for one address
space, `recorder.py` decides where it may be, and is asked at the few stops that are left.
"""
