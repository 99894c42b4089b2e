"""The commands of `python -m transferlab`, one file each.

May import: everything but `bench` (only the command of that name).
"""
