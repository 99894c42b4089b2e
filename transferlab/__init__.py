"""How transferable are the features of a deep network, layer by layer (Yosinski et al. 2014)."""

__version__ = "0.1.0"
