"""A node that answers some questions in its own way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from simulator.chain.rpc import Request, Rpc

T = TypeVar("T")


@dataclass(slots=True)
class OddNode:
    """A node that answers some questions in its own way: a value, or an error to raise."""

    inner: Rpc
    own: dict[str, Callable[[tuple[Any, ...]], Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def ask(self, request: Request[T], *, deadline_s: float) -> T:
        self.asked.append(request.method)
        if request.method in self.own:
            answer = self.own[request.method](request.params)
            if isinstance(answer, Exception):
                raise answer
            return request.read(answer)
        return await self.inner.ask(request, deadline_s=deadline_s)

    async def ask_all(self, requests: Sequence[Request[T]], *, deadline_s: float) -> list[T]:
        return [await self.ask(request, deadline_s=deadline_s) for request in requests]

    async def close(self) -> None:
        await self.inner.close()
