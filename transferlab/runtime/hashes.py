"""Hashes that are computed once: of frozen dataclasses that are keys of many caches."""

from typing import Any, TypeVar

T = TypeVar("T")


class Hashed:
    """Has room for the hash of an instance beside its fields, so that `vars` has only these."""

    __slots__ = ("_hash",)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self)  # without the hash: another process has other hashes of texts


def hashed_once(kind: type[T]) -> type[T]:
    """The frozen dataclass, which is `Hashed`, with the hash of an instance computed once."""
    computed = kind.__hash__

    def kept(self: Any) -> int:
        try:
            return self._hash  # type: ignore[no-any-return]
        except AttributeError:
            object.__setattr__(self, "_hash", computed(self))
            return self._hash  # type: ignore[no-any-return]

    kind.__hash__ = kept  # type: ignore[method-assign]
    return kind
