"""Observed beside predicted: align, agree, explain. Pure.

Two levels, as the chapter has them, each judged with the other taken as it was:

- level one, `book_side.py`: the same calls through the book's allocator; how each was served, what was asked of the
  kernel (`account.py` has the words for both sides);
- level two, `frame_side.py`: the pieces where they really lay, through the paging model; which touches fault.

`shadow.py` is what pointers tell of the real heap, `tunables.py` what its allocator was told. `departures.py` is the table
of known departures, `call_rules.py` and `fault_rules.py` ask for the evidence of each. `together.py` goes through a whole
run, `by_workload.py` through one of which every touch is known. `result.py` is what comes out; `rows.py` folds the
aligned list, `questions.py` asks about it, `confirm.py` judges experiments.
"""
