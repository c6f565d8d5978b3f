"""The command line: one module a verb; each parses, calls, prints and gives an exit status.

To add a verb, two files and the README:

- `VERBS` in `main.py`: its name with one line of help.
- `NAME.py`, whose docstring begins with its command, and which publishes two functions. `configure(parser)` gives the
  parser its description, its options and an epilog with the exit status and examples, which fits 80 columns.
  `run(arguments)` returns the exit status; what goes wrong is an error of `observer.errors`, which `main.py` tells and
  turns into a status (2 for UsageError). What takes the options behind its target, too, sets `parse_again`
  (`workloads.py`).
- "Commands" in README.md: at least one line; `tests/live/test_examples.py` types it, and every example of the epilog.

What is imported at the top of a module is what parsing needs; all else is imported in the function that needs it, so
that help answers at once. The work itself lies in `observer.runs`, whose functions return values and tell nothing.
`words.py`, `numbers.py` and `workloads.py` read what several verbs take; `scratch.py` is a folder for the time of a
command, `complaint.py` the one way to say what went wrong.
"""
