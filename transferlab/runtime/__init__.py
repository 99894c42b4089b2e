"""The process and the machine it runs on: files, locks, logs, signals, devices, provenance.

May import: errors.
"""
