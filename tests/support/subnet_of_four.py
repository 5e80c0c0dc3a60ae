"""A subnet of four in memory, and the keys of who sits on it."""

from __future__ import annotations

from protocol.signing import keypair_from_uri
from tideline.embedded_chain import SubnetRules
from tideline.embedded_subtensor import InMemorySubtensor

NETUID = 98
START = 1_000
TAO = 10**9
KEYS = {name: keypair_from_uri(f"//{name}") for name in ("owner", "val", "miner", "rival", "thief", "cold")}
ADDRESS = {name: key.ss58_address for name, key in KEYS.items()}
COLD = ADDRESS["cold"]


def make_chain(**rules: object) -> InMemorySubtensor:
    """uid 0 the owner, 1 a validator with a permit, 2 and 3 miners."""
    settings = {"tempo": 50, "weights_rate_limit": 20, **rules}
    chain = InMemorySubtensor(SubnetRules(NETUID, ADDRESS["owner"], COLD, **settings), start_block=START)
    for name in ("owner", "val", "miner", "rival"):
        chain.register(ADDRESS[name], COLD, stake=100 * TAO if name == "val" else 0)
    chain.run_epoch()
    return chain
