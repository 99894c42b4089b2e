"""A folder of images decoded and resized once: what the command `prepare` does."""
