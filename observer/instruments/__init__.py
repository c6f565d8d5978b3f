"""What watches, each one thing: allocator calls, system calls, page faults, mappings and residency.

To add an instrument:

- Its word for -e: in `INSTRUMENTS` of `model/selection.py`, or in `OPTIONAL` if it runs only where it is named.
- A module here with a class for the whole recording, that takes the `Sink` (`sink.py`). It is told of what happens at a
  stop by methods named as the engine's are (`tracee.engine.Watcher`: entered, left, born, executed, ended), and writes
  numbers and raw bytes: what is frequent into a spool, what is rare as a note. Names and words are found afterwards.
  What it keeps of a task or an address space follows fork, vfork, exec and the end of a thread.
- `watch.py`: its calls at each of these; the system calls that must stop for its sake are added to `own_syscalls`, and
  to what `syscall_entered` wants the exit of.
- `session.py`: it is made there if it was chosen; its counts go into `Recording.totals` under keys of their own, what
  could not be stored or closed into `notes` and `changed`. Where the machine refuses it, the recording goes on without:
  it raises CannotObserve, and the reason stands in `not_observed` under its word.
- The other side, in `trace/`: a spool's layout (`spool.py` and `spooled.py`, the same twice) or a note's fields with
  their types (`notes.py`, `_KINDS`); then `replay.py` makes events of them, `finish.py` says in `how` how exact they
  are, and a line of the ledger (`balance.py`) sets its counts beside a witness of the kernel's.
- What it needs of the machine: a probe in `capabilities.py`, with the remedy.
- A live test that sees it lose nothing, and one where it is refused.
"""
