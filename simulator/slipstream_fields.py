"""A field of a pool that one of its parts keeps."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class KeptBy(Generic[T]):
    """A field read, under the same name, from the part whose attribute is given, and written there if it may be."""

    __slots__ = ("_name", "_part", "_writable")

    def __init__(self, part: str, *, writable: bool = False) -> None:
        self._part = part
        self._writable = writable

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, pool: object, owner: type) -> T:
        value: T = getattr(getattr(pool, self._part), self._name)
        return value

    def __set__(self, pool: object, value: T) -> None:
        if not self._writable:
            raise AttributeError(f"{self._name} changes only through the pool's verbs")
        setattr(getattr(pool, self._part), self._name, value)
