"""Settings of the tests with random input: the same examples at every run, in a second or so."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, settings

seeded = settings(
    derandomize=True,
    max_examples=200,
    deadline=timedelta(seconds=5),
    suppress_health_check=[HealthCheck.too_slow],
)
