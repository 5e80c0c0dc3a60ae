"""What a validator signs of an intent, and an executor acts on: everything, so that nothing can be exchanged."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from protocol.units import Hotkey


@dataclass(frozen=True, slots=True)
class Intent:
    """An approved plan, for one checkpoint of one round on one vault of one chain.

    `plan` is JSON text; it was made at the block `decided_block` of the hash `decided_hash`. The first six fields are
    its key: what is signed for one checkpoint is good for no other.
    """

    execution_id: str
    chain_id: int
    vault: str
    job_id: str
    round_id: str
    checkpoint_index: int
    pool: str
    validator: Hotkey
    miner: Hotkey
    plan: str
    decided_block: int
    decided_hash: str
    effective_block: int

    def digest(self) -> str:
        """Return the sha256 of the intent as canonical JSON, in lowercase hex. Addresses count without their case."""
        plain = replace(self, vault=self.vault.lower(), pool=self.pool.lower())
        return hashlib.sha256(json.dumps(asdict(plain), sort_keys=True, separators=(",", ":")).encode()).hexdigest()
