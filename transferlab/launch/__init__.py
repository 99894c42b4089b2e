"""Carries a plan out. Here: in this process, one pack after the other; see `inline`."""
