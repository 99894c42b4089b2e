"""Weights & Biases rebuilt from the store. A mirror: nothing is read back from it."""
