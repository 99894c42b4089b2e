"""Benchmarks: each compares implementations measured in turn, and prints the ratio of their times.

A benchmark is a module of its name in this folder. Its `add_flags(parser)` declares its flags
besides `--json` and `--repetitions`; its `measure(flags)` returns a `harness.Report`.

May import: errors, runtime, data, experiment, store, training, launch.
"""

BENCHMARKS = {
    "loader": "our loaders against torchvision's default, on one core",
    "reading": "prepared images that are not in memory, announced to the disk against page faults",
    "pack": "runs in the planner's packs against one after another",
    "features": "frozen runs with features that are kept against computed ones",
    "trainer": "steps of the Trainer against a bare loop",
    "startup": "light commands against importing everything",
    "step": "our step against float32 eager; real data against a resident batch",
    "study": "a study by sweep against a process for each run",
}
