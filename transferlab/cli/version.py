"""`--version`: the version of this package, of Python, and of the packages that decide a result."""

from collections.abc import Sequence

from transferlab.errors import UserError
from transferlab.runtime import output, provenance


def run(arguments: Sequence[str]) -> int:
    """Print one line, for a report of a fault. Raises: UserError if more is asked."""
    if arguments:
        raise UserError(f"--version goes alone, not with {' '.join(arguments)}")
    output.show(", ".join(f"{name} {version}" for name, version in provenance.versions().items()))
    return 0
