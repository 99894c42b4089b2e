"""The commands of `python -m transferlab`, one file each.

May import: errors, runtime, models, data, experiment, store, results, evaluation, launch, bench
(only the command of that name).
"""
