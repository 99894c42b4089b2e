"""How long a store takes to load: 100, 1,000 and 10,000 records, all new and then kept.

python tests/benchmarks/results.py [--json]; about a minute, most of it for writing the stores. "All
new" is the first call ever, with every record read and checked, in a process that has imported
everything; linear means that a record takes about as long among 10,000 as among 1,000.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import large_store

from transferlab import results
from transferlab.results import scan
from transferlab.runtime import tables
from transferlab.store import kept

SIZES = (100, 1_000, 10_000)
REPETITIONS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        times = {
            size: measured(large_store.fill(Path(folder) / str(size), size), size) for size in SIZES
        }
    if arguments.json:
        report: dict[str, object] = {"machine": f"{platform.machine()}, one thread"}
        for size, (new_s, kept_s) in times.items():
            report[str(size)] = {"new_s": new_s, "kept_s": kept_s}
        print(json.dumps(report, indent=1))
        return
    lines = [
        (f"{size:,}", f"{new_s:.3f} s", f"{1e6 * new_s / size:.0f} us", f"{kept_s:.3f} s")
        for size, (new_s, kept_s) in times.items()
    ]
    heading = ("records", "all new", "a record", "kept")
    print("\n".join(tables.table(heading, lines, right=range(4))))


def measured(folder: Path, size: int) -> tuple[float, float]:
    """The seconds to load all records when new, and when kept; the medians of some repetitions."""
    new, again = [], []
    for _ in range(REPETITIONS):
        kept.save(folder, scan.KIND, b"")  # which is no table
        for times in (new, again):
            start = time.perf_counter()
            loaded = results.load(folder)
            times.append(time.perf_counter() - start)
            assert len(loaded.table) == size
    return statistics.median(new), statistics.median(again)


if __name__ == "__main__":
    main()
