"""Finish rounds in processes of which each kills itself before its n-th statement.

Run as `python crashing.py URL N`: round number n is finished by a process that dies before statement n.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from support.rows import add_up, make_finish, make_score, make_start

from db.store import Store
from protocol.units import Hotkey


class Killer(logging.Handler):
    """Kills this process when the n-th statement is about to run."""

    def __init__(self, statements: int) -> None:
        super().__init__()
        self.left = statements

    def emit(self, record: logging.LogRecord) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def finish(url: str, number: int) -> None:
    store = await Store.open(url, create=False)
    statements = logging.getLogger("tortoise.db_client")
    statements.setLevel(logging.DEBUG)
    statements.addHandler(Killer(number))
    winner = Hotkey("alice")
    result = make_finish(make_start(number), make_score(winner, 10**number), make_score("bob", 1), winner_hotkey=winner)
    await store.finish_round(result, add_up)
    await store.close()


def main(url: str, rounds: int) -> None:
    for number in range(1, rounds + 1):
        child = os.fork()
        if child == 0:
            asyncio.run(finish(url, number))
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
