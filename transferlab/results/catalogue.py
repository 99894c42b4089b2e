"""What each table and figure shows, for a reader who does not have the paper at hand.

In the paper's words where it has some (Yosinski et al. 2014: captions of Fig. 2 and 3 and of
Table 1, Sec. 4); where we show more than the paper does, it is said.
"""

from collections.abc import Mapping

TITLE = "How transferable are the features, layer by layer?"
SUBJECT = (
    "A network is trained on one half of a data set's classes (base). Its first n layers are "
    "copied into a network for the other half (target), and the layers above start afresh. How "
    "much accuracy that costs, or gains, says how general the features of layer n are, and how "
    "specific to their task."
)
PUBLISHED = (
    "The networks of Yosinski et al. 2014, read from the training logs that the authors released "
    "(github.com/yosinski/convnet_transfer). What has no log is missing, not guessed."
)
COVERAGE = (
    "How many networks of each kind are finished; where more were planned or begun, of how many."
)
MIRRORED = "Mirror images are merged: AnB stands for BnA too, and baseB for baseA."

TITLES: Mapping[str, str] = {
    "figure2": "Figure 2: transfer and selffer networks, layer by layer",
    "interpretation": "Figure 2, interpreted: two reasons for the drop",
    "decomposition": "Decomposition: co-adaptation and specificity",
    "table1": "Table 1: what transferring and fine-tuning gains",
    "figure3": "Figure 3: dissimilar halves, and random filters",
    "reduced": "Fewer training images",
    "curves": "Learning curves",
    "runs": "Runs",
    "left_out": "Left out, and why",
}

TEXTS: Mapping[str, str] = {
    "figure2": (
        "Each marker is the accuracy on the validation set of one trained network, and lines "
        "connect the means of each treatment. Where BnB lies below baseB, layers that had learned "
        "to work together were parted and could not find each other again: fragile co-adaptation. "
        "Where AnB lies below BnB, the copied features are specific to the base task. AnB+ above "
        f"baseB: networks that transfer, then learn on, generalize better. {MIRRORED}"
    ),
    "interpretation": (
        "The drop from baseB to AnB has two reasons. Down to BnB, which sees its own task only, it "
        "is lost co-adaptation of the layers on both sides of the cut. From there down to AnB it "
        "is representation specificity: the features were made for other classes."
    ),
    "decomposition": (
        "The same two gaps, measured in pairs: a base network, a selffer and a transfer network "
        "for the same half of the same split, so that halves of unequal difficulty do not matter. "
        "Co-adaptation is baseB less BnB, specificity BnB less AnB, and together they are the "
        "whole drop. Intervals are of 95 %: low and high from Student's t over the pairs, boot "
        "from drawing whole splits anew. The paper has no such table."
    ),
    "table1": (
        "The boost of AnB+ over its controls, averaged over different ranges of layers. Pooled is "
        "as the paper prints it: the mean of all networks of one kind less the mean of all of the "
        "other. These may be for different halves, and halves are not equally hard. Paired, which "
        "the paper does not have, compares networks for the same half of the same split."
    ),
    "figure3": (
        "How performance falls with the layer at which a network is cut, when base and target "
        "tasks are dissimilar (man-made and natural classes) and when the first n layers are "
        "random, untrained weights. Compared with the random halves, all after subtracting their "
        "base level. The farther the tasks are apart, the worse high layers transfer; even "
        "features of distant tasks are better than random ones."
    ),
    "reduced": (
        "Networks for all classes, trained from scratch on so many images of each: what having "
        "less data does by itself."
    ),
    "curves": "Accuracy on the validation set while training, one line a network.",
    "runs": (
        "Every finished run; one at chance level did not learn, and is counted in no mean. Delta "
        "is the difference to the base network of the run's own target half. The file has every "
        "key of every run's config too, and where its numbers are from."
    ),
    "left_out": (
        "Runs that are damaged, failed or missing are in no table; those at chance level, whose "
        "accuracy is no better than guessing, are listed but enter no mean."
    ),
}
