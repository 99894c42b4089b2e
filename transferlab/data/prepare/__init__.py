"""A folder of images decoded and resized once: what the command `prepare` does."""

from transferlab.runtime.files import Advice

# What to do if prepared images cannot be written
OUT = Advice(
    full="make room, then run the command again: it resumes",
    refused="choose another folder with --out DIR",
)
