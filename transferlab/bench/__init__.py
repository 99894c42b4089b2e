"""The workshop: what is fast, measured in turn and told as a ratio.

May import: everything but `results` and `cli`.
"""
