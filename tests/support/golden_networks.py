"""The 163 networks of Yosinski et al. 2014, one by one, for the tests of plans.

Written down from the folders of yosinski/convnet_transfer, not computed from a rule, because they
follow none: selffers of half A only, fine-tuning on two of the four random splits, no control for
man-made against natural. Letters are the paper's, A = man-made (the folders swap them: their
transfernatmanAB_1_3 is B3A). The seven random-filter networks of Fig. 3 are not among the 163.
"""

from typing import NamedTuple


class Network(NamedTuple):
    """`label` and `base`, its base network, are labels of one `split`."""

    split: str
    label: str
    per_class: int | None
    base: str | None


# folders half0A ... half3B, halfnatmanA, halfnatmanB
BASES = (
    ("random0", "baseA"),
    ("random0", "baseB"),
    ("random1", "baseA"),
    ("random1", "baseB"),
    ("random2", "baseA"),
    ("random2", "baseB"),
    ("random3", "baseA"),
    ("random3", "baseB"),
    ("manmade_natural", "baseA"),
    ("manmade_natural", "baseB"),
)

# folders transfer*, 140: (split, the base they start from) -> the networks
TRANSFERS = {
    ("random0", "baseA"): """
        A1A  A2A  A3A  A4A  A5A  A6A  A7A
        A1B  A2B  A3B  A4B  A5B  A6B  A7B
        A1A+ A2A+ A3A+ A4A+ A5A+ A6A+ A7A+
        A1B+ A2B+ A3B+ A4B+ A5B+ A6B+ A7B+
    """,
    ("random0", "baseB"): """
        B1A  B2A  B3A  B4A  B5A  B6A  B7A
        B1A+ B2A+ B3A+ B4A+ B5A+ B6A+ B7A+
    """,
    ("random1", "baseA"): """
        A1A  A2A  A3A  A4A  A5A  A6A  A7A
        A1B  A2B  A3B  A4B  A5B  A6B  A7B
        A1A+ A2A+ A3A+ A4A+ A5A+ A6A+ A7A+
        A1B+ A2B+ A3B+ A4B+ A5B+ A6B+ A7B+
    """,
    ("random1", "baseB"): """
        B1A  B2A  B3A  B4A  B5A  B6A  B7A
        B1A+ B2A+ B3A+ B4A+ B5A+ B6A+ B7A+
    """,
    ("random2", "baseA"): """
        A1A  A2A  A3A  A4A  A5A  A6A  A7A
        A1B  A2B  A3B  A4B  A5B  A6B  A7B
    """,
    ("random2", "baseB"): "B1A  B2A  B3A  B4A  B5A  B6A  B7A",
    ("random3", "baseA"): """
        A1A  A2A  A3A  A4A  A5A  A6A  A7A
        A1B  A2B  A3B  A4B  A5B  A6B  A7B
    """,
    ("random3", "baseB"): "B1A  B2A  B3A  B4A  B5A  B6A  B7A",
    ("manmade_natural", "baseA"): "A1B  A2B  A3B  A4B  A5B  A6B  A7B",
    ("manmade_natural", "baseB"): "B1A  B2A  B3A  B4A  B5A  B6A  B7A",
}

# folders reduced-0001 ... reduced-1300, and netbase, all on the 1,000 classes
REDUCED = (1, 2, 5, 10, 25, 50, 100, 250, 500, 750, 1000, 1300)  # images a class
WHOLE = Network("whole", "baseB", per_class=None, base=None)

NETWORKS: frozenset[Network] = frozenset(
    [
        *(Network(split, label, None, None) for split, label in BASES),
        *(
            Network(split, label, None, base)
            for (split, base), rows in TRANSFERS.items()
            for label in rows.split()
        ),
        *(Network("whole", "baseB", per_class, None) for per_class in REDUCED),
        WHOLE,
    ]
)
