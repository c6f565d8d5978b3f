"""Whole runs as values: what a verb of the command line asks for, done from end to end. Nothing is printed here.

- `record.py`: a wish in, a finished trace and its meta.json out, made in one pass with whoever listens: `sources.py`
  asks the model where each allocation came from, `told.py` takes the story, its last screen from columns (`many.py`).
- `models.py`: the reference machines for a recorded run, or for a machine that is only thought of.
- `workloads.py`: a workload checked, with the program that runs it for real; the operations of a recorded run.
- `target.py` is what is compared, and records it; `compared.py` sets it beside the models, and makes the experiments.
- `variants.py` are the ways to run a program under several allocators, `trials.py` runs them all, `answering.py` says
  who answered malloc, `holdings.py` what the allocator held.
- `builds.py`: one source under several C libraries.

To add a listener, one file here: a class with the method `listen` of `trace.finish.Listener`. It is given the parts of
a run (`trace.part.Part`, their events by `trace.values.events_of`) in the order of n, and yields them again, at once or
a little later, but each before it holds more than a few. Who records hands it to `record_run`, in the order in which
listeners are to be told: what one adds to a part, the next ones find there, and so do the tables.
"""
