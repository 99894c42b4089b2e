"""Asks finished runs without training them: other crops and scales, averages, features.

May import: errors, runtime, models, data, experiment, store, training.

`protocols` lists what can be asked, `ask` answers it once and records the answer beside the run;
both import no torch until a network is needed.
"""
