"""Carries a plan out, here or on SLURM, and says how it goes; takes no torch until it trains.

May import: errors, runtime, models (facts only), experiment, store, training.
"""
