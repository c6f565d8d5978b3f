"""Whole runs as values: what a verb of the command line asks for, done from end to end. Nothing is printed here.

- `record.py`: a wish in, a finished trace and its meta.json out. `sources.py` asks the model where each allocation of
  it came from.
- `models.py`: the reference machines for a recorded run, or for a machine that is only thought of.
- `workloads.py`: a workload checked, with the program that runs it for real; the operations of a recorded run.
- `target.py` is what is compared, and records it; `compared.py` sets it beside the models, and makes the experiments.
- `variants.py` are the ways to run a program under several allocators, `trials.py` runs them all, `answering.py` says
  who answered malloc, `holdings.py` what the allocator held.
- `builds.py`: one source under several C libraries.
"""
