"""Planning grows linearly with the number of runs; tests/benchmarks/plan.py measures 100,000."""

import time
from pathlib import Path

from benchmarks.plan import measure


def test_four_times_the_runs_take_about_four_times_as_long(tmp_path: Path):
    measure(1, tmp_path / "first")  # what is worked out once in a process

    small, small_s = measure(500, tmp_path / "small", time.process_time)
    large, large_s = measure(2_000, tmp_path / "large", time.process_time)

    assert (small, large) == (522, 2_030)
    assert sum(large_s.values()) / sum(small_s.values()) < 8  # 16 if it were quadratic
