"""The tables, one a module: `build` makes a pandas table of a selection of runs, in fractions.

Yosinski et al. 2014, Fig. 2, Fig. 3 and Table 1; and their subject, the drop from baseB to AnB, in
two parts. Runs are averaged within one experiment only, and compared as the paper does and in
pairs. Runs at chance level are counted and enter no mean.
"""
