"""The malloc observer: run a real program on Linux and tell where its memory comes from, every event accounted for.

The map of the house. Data flows one way, from top to bottom; a room imports only from rooms above it.

- `model/`: the shared words, frozen values without I/O: events, the allocator family and a program's own
  (`own_allocator.py`), what a memory call means (`memory_calls.py`), address spaces and their replay, names of
  addresses (`where.py`), what is kept of each process (`lives.py`), calls as columns (`call_columns.py`), what -e
  selects, places at which a recording begins or ends (`reached.py`), wrappers that are seen through (`through.py`), the
  ledger's lines, meta.json, the chapter and the departures from it. `errors.py`: what can go wrong. `files.py`: files
  and folders that others can reach, opened without following links or waiting. `compiled.py`: the hot modules,
  compiled, in the place of their sources.
- `arch/`: one value an architecture (`x86_64.py`, `i386.py`, `aarch64.py`): registers in the kernel's order,
  arguments, traps, gates, rings, numbers; `known.py` says which is meant, `exceptions.py` (with one module a
  processor, and `page_faults.py`) what signals say of exceptions. Pure.
- `glibc/`: facts of glibc's allocator by release: chunks, versions, tunables, parameters, the layout of its
  structures. Pure.
- `linux/`: the doors to the kernel, and the only ctypes: ptrace, seccomp, perf_event, procfs, tracefs;
  `bcc_program.py`, which the system's own Python runs.
- `code/`: programs' code: ELF (`elf.py`, by `parsed.py`) and which file is mapped (`mapped.py`; `fetching.py` copies
  what only a program gives), DWARF lines, call-frame rules (`unwind.py`, `stepping.py`), instructions (x86's in
  `instructions.py`, AArch64's in `a64.py` and `a64_pieces.py`, what they do as `emulation.py` has it; done elsewhere,
  `moving.py` and `a64_moving.py`), where functions begin and end (`prologue.py`, `exits.py`, `flow.py`), the vDSO;
  system calls in words: tables and prototypes, arguments (`arguments.py`, `flags.py`). python-ptrace is used here
  alone.
- `heap/`: glibc's heap of a stopped process, read from outside: `walking.py` makes a frozen `Heap` (`values.py`) of any
  memory that `image.py` can read; `arenas.py`, `parts.py`, `bins.py` and `caches.py` are its structures, checked
  against each other by `agreement.py` (with `sets.py`); `process.py` is a tracee as such a memory.
- `recording/`: what is written while the program runs: `records.py` has each record's layout once, `slots.py` how calls
  that programs record take one record or two, `notes.py` the rare things, each kind a value (`note_lines.py` reads them
  back, `text.py` makes them UTF-8); `spool.py` are their files, `room.py` is the disk's, `sink.py` what instruments see
  of these; `merge.py` puts spools into one order, a window at a time.
- `tracee/`: launch, follow and let go: `engine.py` is the one wait loop, all of it on one thread; `births.py` the
  children that nobody told of; `halting.py` brings all tasks to a stop, and `bystander.py` watches when nobody does;
  `memory.py` an address space with its `breakpoints.py`. `calls.py` is the one follower of calls: `carrying.py` does
  what the instruction under a breakpoint does, `outermost.py` (by exits) and `nested.py` (by exchanged return
  addresses) know which `frames.py` a stack holds, `returning.py` where a call returns to (`signing.py` puts that back
  where it is signed), `copied.py` knows an int3 that the program moved, `removal.py` takes all of it out; `listener.py`
  is who is told. `inline/` records calls inside the program: `stub.S` is its code there, `annex.py` what is laid out
  beside a library (`landing_code.py` has what differs between architectures), `ring.py` the memory that both sides have
  (`shapes.py` its sizes, `room.py` where there is room for it), `heads.py` what they see of page faults in the place of
  a clock, `intake.py` takes out of it what was recorded, `installing.py` puts them there, `recorder.py` answers for
  them, `vacating.py` puts a thread out of our code. `unnoticed.py` answers what our presence would change, `storms.py`
  lets a program get on under its timers, `injection.py` makes a call in the tracee's place; `affinity.py` the shared
  processor; `interrupts.py` Ctrl-C and friends. Other programs of the same source: `allocators.py` preloaded,
  `builds.py` and `musl.py` compiled, `measured.py` runs one lightly.
- `instruments/`: what watches, each one thing: `allocator.py` calls of the family (`planting.py` plants where they
  begin and end, `standing.py` looks after that, `recorders.py` says who records), `probes.py` the program's calls into
  libraries and the vDSO, `crossings.py` system calls, `signals.py`, `traps.py` SIGTRAP, `faults.py` perf events in
  `rings.py`, `kernel_side.py` tracepoints in others, `intervals.py` faults where perf is refused, `unsampled.py` pages
  without a fault event, `huge_pages.py`, `births.py` what forks copied, `images.py`, `foresight.py` files before they
  are mapped, `remapped.py`, `snapshot.py` and `heaps.py` what a process leaves, `heap_snapshots.py` heaps in the midst
  of a run (`walks.py` reads both, `call_sites.py` knows a call's line), `call_stacks.py` keeps who called (`chains.py`
  walks there, in the code that `code_of_spaces.py` knows), `stack_pieces.py` one stack of each way out of the C
  library, `observed.py` our own footprint; `watch.py` hands out what the engine tells, `meanwhile.py` is what is done
  beside, `programs.py` takes a program over, `last_look.py` looks at a process in the end; `ending.py` knows when a
  recording ends early, `release.py` lets go of what lives then, `prelude.py` waits for its beginning, at `marks.py`,
  `chosen.py` leaves children alone; `session.py` wires one run. `places.py` names code afterwards; `capabilities.py`
  is what `doctor` tries.
- `trace/`: `place.py` finds the folder its place, `layout.py` knows what lies in it; `kept.py` keeps what was counted,
  `spooled.py` (with `fault_records.py`) checks the spools and reads them back; `timeline.py` numbers what they hold,
  `order.py` says in which call each thing lies (`prologues.py`: where those begin); `kernel_side.py` joins what
  tracepoints said (`kernel_records.py`) to it; `inline_calls.py` reads what programs recorded, `annexes.py` leaves out
  what is ours, `followed.py` what is not followed, `executing.py` what lies in a program that is about to run;
  `replay.py`, with `process.py`, `lives.py`, `callers.py` and `allocators.py`, advances one moment and makes parts of
  tables (`part.py`, `columns.py`, `values.py` as events), and finds what is of the whole run (`findings.py`). Calls,
  of which there are most, are columns throughout: `call_rows.py` are those of a window, `call_replay.py` replays them
  a stretch at once: `turns.py` pairs who gives and who takes each piece among those that are alive (`live.py`),
  `holding.py` knows which of them holds an address, `call_names.py` names them (`known_callers.py`, `stacks.py`),
  `misuses.py` judges what does not pair. `tables.py` (with `queries.py`, `row_groups.py`, `aside.py`), `schema.py`
  (with `written_types.py`) and `reader.py` (with `about.py`, `call_columns.py` for calls as columns, `call_totals.py`
  for their sums, `slices.py` for what is large, `rows.py`) are the Parquet side, through `database.py`; `balance.py`,
  `fault_lines.py`, `space_lines.py`, `kernel_lines.py`, `heap_lines.py` (with `heaps.py`, `snapshots.py`, `doubts.py`)
  and `cut_off.py` are the ledger, `evidence.py` what it looks at; `losses.py` what is missing; `finish.py` closes or
  recovers a trace in one pass, with whoever listens, and `unfinished.py` is what a trace is before.
- `simulator/`: the book's machine, pure: `workload.py` its language, `book.py` (with `pieces.py`) the allocator,
  `paging.py` (with `address_space.py`, `faulting.py`, `frames.py` …) Linux's memory, `machine.py` both as events;
  `recorded.py` makes a workload of a recorded run. `glibc/` is glibc's own allocator, by releases.
- `compare/`: observed beside predicted, pure: `together.py` aligns, `call_rules.py` and `fault_rules.py` explain,
  `confirm.py` judges experiments, `differences.py` holds what differs, however much; `exactly.py` sets a run beside
  glibc's model, pointer by pointer, and `served_by.py` has it name where each malloc was served from; `hypotheses.py`
  follows the orders of threads' calls that fit; `impossible.py` knows what no undamaged heap hands out, `heap_at.py`
  every chunk at any moment, `snapshots.py` beside what was read there.
- `story/`: events told in the book's words: steps, sentences, folded rows, departures from the book, totals, all of it
  in one pass (`telling.py`); the run at a glance (`glance.py`), very many calls of it at once (`many_calls.py`), with
  what crashed and on whose piece (`crashes.py`); what processes hold at any moment (`levels.py`, `curves.py`), what lay
  where from which event to which (`spans.py`, `moment.py`), what places and stacks asked for, hold and weigh
  (`places.py`, `weights.py`), the same of very many calls as columns (`profile.py`, with `pairing.py`,
  `sums.py`, `size_classes.py`) and what the allocator's memory is at the peak and in the end (`fragmentation.py`, all
  of it `memory_use.py`), names of tasks that last (`names.py`); the book's words explained and an interface's phrases
  (`glossary.py`, `phrases.py`, `terminal_phrases.py`, `profile_phrases.py`), the same in Korean (`korean.py`,
  `korean_rows.py`, `korean_crashes.py`), and each language as the value that `cli/` hands to `report/`
  (`language.py`); what the processor refused (`refusals.py`), libraries side by side, what an allocator did and which
  to take. Pure.
- `report/`: the last screen (`glance.py`), the story on a terminal (`terminal.py`), places and the heap profile
  (`places.py`, `profile.py`), drawn address space and heap,
  ledger, JSON Lines with their schema, exports for Perfetto and flame graphs, pictures (`plot.py`), notebooks. `page/`
  is the one HTML page that opens offline: `gathered.py` takes a run in, `columns.py` and `memory.py` make it short for
  a script, `page.py` puts it into `page.html` with `page.css` and `script/`, which draws every view for one moment.
- `runs/`: whole runs as values, for `cli/` alone (and `labs/`): `record.py` a wish in, a finished trace out
  (`recorded.py` what it is made of); `profiled.py` a trace in, what it used memory for out; `models.py` makes the
  reference machines for it, `sources.py` and `told.py` (with `many.py`) listen while it is made into a trace;
  `compared.py` (with `target.py`) something beside the models; `trials.py` (with `variants.py`, `answering.py`,
  `holdings.py`) one program under several allocators, `builds.py` one source under several C libraries; `workloads.py`
  what the interpreter runs.
- `labs/`: a lab is a folder of `assignments/`, read by `lab.py`; `language.py` are the expressions of its checks,
  `vocabulary.py` (with `fault_facts.py` and its like) the facts they speak of, each a function of what a student's
  `program.py` did. `attempt.py` builds and runs a source in a `box.py` (`recording.py` asks a process of its own for
  it, `recorder.py`), `judging.py` and `marking.py` make results of it, `lint.py` proves a lab; `work.py` is a student's
  folder, `predictions.py` what is sealed there, `handin.py` the one file that is handed in. `grading.py` judges one
  again, `classroom.py` those of a class, by one process, several or a cluster (`fleet.py`); `formats/` are graders'
  formats, `gradebook.py` the tables of a class, `packaging.py` with `packages/` what a grader's site needs;
  `telling.py` prints.
- `cli/`: one module a verb: parse, call, print, exit status; `progress.py` is the line on a terminal meanwhile,
  `output.py` a file of -o, there whole or not at all, `traces.py` a trace that is finished first where it has to be.

A run, from end to end: `cli/run.py` asks `runs/record.py`, which opens spools and lets `instruments/session.py` launch
and follow the program; `trace/finish.py` makes tables and ledger of the spools in one pass: merged, replayed part by
part, each part handed to the listeners before it is written. `runs/sources.py` adds what the model of glibc says of the
calls that it is asked about, `runs/told.py` takes what the last screen needs, or the story, which `report/` then tells,
as `show` does later from the tables. `compare` records the same way (`runs/compared.py`; a workload by the C
interpreter that `tracee/interpreter.py` compiles), and gives the events and the reference machines (`runs/models.py`)
to `compare/together.py`."""

from observer.compiled import use as _use_compiled

__version__ = "0.1.0"

_use_compiled()
