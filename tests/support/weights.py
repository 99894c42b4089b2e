"""The file of a pre-trained network, for the studies of conf/ that copy from one."""

from pathlib import Path

from safetensors.torch import save_file

from transferlab import models

STUDIES = ("choice", "chatfield2014_tune")


def given(study: str, folder: Path) -> tuple[str, ...]:
    """The overrides that such a study needs: a network of eight stages, and its view; else none."""
    if study not in STUDIES:
        return ()
    network = models.build("alexnet_small", num_outputs=10, image_size=24)
    save_file(network.state_dict(), folder / "network.safetensors")
    sizes = ("data.size=24", "data.crop=24", "split.a.size=24", "split.a.crop=24")
    named = f"split.weights={folder / 'network.safetensors'}"
    return (named, "model=alexnet_small", "data@split.a=imagenet_torchvision", *sizes)
