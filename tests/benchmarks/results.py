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

from support.stores import finish

from transferlab import results
from transferlab.results import rows

SIZES = (100, 1_000, 10_000)
REPETITIONS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    report: dict[str, object] = {"machine": f"{platform.machine()}, one thread"}
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            report[str(size)] = measured(filled(Path(folder) / str(size), size), size)
    if arguments.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{'records':>8}  {'all new':>9}  {'a record':>9}  {'kept':>9}")
    for size in SIZES:
        found = report[str(size)]
        assert isinstance(found, dict)
        print(f"{size:8}  {found['new_s']:7.3f} s  {1e6 * found['new_s'] / size:6.0f} us  "
              f"{found['kept_s']:7.3f} s")  # fmt: skip


def filled(place: Path, size: int) -> Path:
    """A store with so many finished runs: both directions, all cuts, as many seeds as it takes."""
    labels = ["baseA", "baseB"]
    labels += [f"{base}{n}{target}" for n in range(1, 8) for base in "AB" for target in "AB"]
    for number in range(size):
        seed, which = divmod(number, len(labels))
        finish(place, labels[which], 0.5 + number % 100 / 1000, {"seed": seed})
    return place


def measured(place: Path, size: int) -> dict[str, float]:
    new, kept = [], []
    for _ in range(REPETITIONS):
        for path in (place / rows.FOLDER).glob("*"):
            path.unlink()
        for times in (new, kept):
            start = time.perf_counter()
            found = results.load(place)
            times.append(time.perf_counter() - start)
            assert len(found.table) == size
    return {"new_s": statistics.median(new), "kept_s": statistics.median(kept)}


if __name__ == "__main__":
    main()
