"""Carries out a plan, here or on SLURM, and reports its progress; imports no torch until it trains.

May import: errors, runtime, models (facts only), experiment, store, training.
"""
