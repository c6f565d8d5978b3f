"""What is written while the program runs, so that nothing is lost if the observer ends in the next instant.

- A **record** (`records.py`) is written of everything that comes by the thousand, at its end: an allocator call, a
  system call (and what its arguments point to), a call into a library, a piece of stack. All of one kind have one size
  and lie in one file, in the order in which they ended; the others name them by their numbers.
- A **note** (`notes.py`) is written of everything that is rare, when it happens: processes and threads that begin and
  end, code that is mapped, signals, what the ledger will need. All lie in notes.jsonl, a line each.
- Fault samples are the kernel's own (`linux/perf.py`), files of them what `instruments/faults.py` takes out of its
  rings. Pagemap entries of a process's end lie in frames.bin (`instruments/snapshot.py`), the chunks in use of its heap
  in heaps.bin (`instruments/heaps.py`), all chunks of its snapshots in snapshots.bin (`instruments/heap_snapshots.py`).

`spool.py` has the files. Instruments write through `sink.py`, and read nothing; `trace/spooled.py` reads it all back.

To add a kind of note: a class in `notes.py`, a member of `Note` there. Who writes it appends its value to the sink's
notes; who reads it asks for its type.

To add a kind of record: its `Layout` in `records.py`, a member of `LAYOUTS` there; its file among `Spools` and in
`Sink`. `trace/spooled.py` says which records are whole. A field more, or another meaning, is another `VERSION`.
"""
