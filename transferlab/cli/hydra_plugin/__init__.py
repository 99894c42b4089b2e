"""Hydra launchers; Hydra takes them only from the namespace hydra_plugins, see pyproject.toml."""
