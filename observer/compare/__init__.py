"""Observed beside predicted: align, agree, explain. Pure.

Two levels, as the chapter has them, each judged with the other taken as it was:

- level one: the same calls through the reference allocator; how each was served, what was asked of the kernel
  (`served.py` says it of the real one);
- level two: the pieces where they really lay, through the paging model; which touches fault.

The reference machines are given to it (`sides.py` says what is asked of them). `shadow.py` is what pointers tell of the
real heap. `call_rules.py` and `fault_rules.py` ask for the evidence of each known departure (`model/departures.py`),
`explanation.py` is what they answer. `together.py` goes through a whole run, `by_workload.py` through one
of which every touch is known (`report_lines.py` reads the interpreter's report). `exactly.py` compares with a model
that predicts every pointer; `witness.py` asks it where pointers alone leave things open, `served_by.py` where each
call was served from. `models.py` has one model for each copy of the C library in a process, `order.py` the orders in
which overlapping calls of threads may have taken effect, `hypotheses.py` follows those that fit; `circumstances.py`
names what explains a difference beside the call: another allocator, an overlap, a broken rule. `result.py` is what
comes out, `differences.py` what differs, however much that is; `rows.py` folds the aligned list, `questions.py` asks
about it, `confirm.py` judges experiments.
"""
