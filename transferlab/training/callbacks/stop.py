"""How a requested stop leaves a training."""


class Stopped(RuntimeError):
    """Training was left after saving, because a stop was requested. Not a KeyboardInterrupt:
    Lightning would end the process on that."""
