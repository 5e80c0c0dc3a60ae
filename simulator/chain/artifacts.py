"""The published contracts: their ABIs and bytecode, out of the packages their authors put on npm, never committed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from protocol.errors import ConfigError
from simulator.chain.npm import NpmPackage, read

V3_CORE = NpmPackage(
    "@uniswap/v3-core",
    "1.0.1",
    "7pVk4hEm00j9tc71Y9+ssYpO6ytkeI0y7WE9P6UcmNzhxPePwyAxImuhVsTqWK9YFvzgtvzJHi64pBl4jUzKMQ==",
)
V3_PERIPHERY = NpmPackage(
    "@uniswap/v3-periphery",
    "1.4.4",
    "S4+m+wh8HbWSO3DKk4LwUCPZJTpCugIsHrWR86m/OrUyvSqGDTXKFfc2sMuGXCZrD1ZqO3rhQsKgdWg3Hbb2Kw==",
)
PANCAKE_V3_CORE = NpmPackage(
    "@pancakeswap/v3-core",
    "1.0.2",
    "9aZU8I1J6SbZOSW7NcNxuyaAC17tGkOaZJM9aJgvl6MMUOExpq0i0EC/jc3HxWbpC8sbZL+8eG544NEJs8CS+w==",
)
CANONICAL_WETH = NpmPackage(
    "canonical-weth",
    "1.4.0",
    "9rkLfAFndWALLhxd5lpyTX4RkV36WmVBZ92NYtYr1kWdAUmclRp7I5KkK4wvogzDcCI++yw53TLwx/GCPcocMg==",
)


@dataclass(frozen=True, slots=True)
class Contract:
    """A published contract: the package, and its compiler artifact relative to the package's root."""

    package: NpmPackage
    path: str

    @property
    def abi(self) -> list[dict[str, Any]]:
        """The interface. Raises ConfigError when the package cannot be had."""
        abi: list[dict[str, Any]] = _artifact(self)["abi"]
        return abi

    @property
    def creation_code(self) -> bytes:
        """The code that a deployment runs, without constructor arguments. Raises as `abi` does."""
        return bytes.fromhex(_artifact(self)["bytecode"].removeprefix("0x"))


def _compiled(package: NpmPackage, source: str, name: str) -> Contract:
    return Contract(package, f"artifacts/contracts/{source}/{name}.json")


FACTORY = _compiled(V3_CORE, "UniswapV3Factory.sol", "UniswapV3Factory")
POOL = _compiled(V3_CORE, "UniswapV3Pool.sol", "UniswapV3Pool")
PANCAKE_POOL = _compiled(PANCAKE_V3_CORE, "PancakeV3Pool.sol", "PancakeV3Pool")
POSITION_MANAGER = _compiled(V3_PERIPHERY, "NonfungiblePositionManager.sol", "NonfungiblePositionManager")
SWAP_ROUTER = _compiled(V3_PERIPHERY, "SwapRouter.sol", "SwapRouter")
TICK_LENS = _compiled(V3_PERIPHERY, "lens/TickLens.sol", "TickLens")
QUOTER = _compiled(V3_PERIPHERY, "lens/QuoterV2.sol", "QuoterV2")
WETH9 = Contract(CANONICAL_WETH, "build/contracts/WETH9.json")


@cache
def _artifact(contract: Contract) -> dict[str, Any]:
    try:
        content = json.loads(read(contract.package, contract.path))
    except ValueError as error:
        raise ConfigError(f"{contract.path} of {contract.package} is not JSON: {error}") from error
    if not isinstance(content, dict) or not {"abi", "bytecode"} <= content.keys():
        raise ConfigError(f"{contract.path} of {contract.package} is not a compiler artifact")
    return content
