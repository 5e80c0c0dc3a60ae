import dataclasses

import pytest

from miner.config import MinerConfig
from protocol.errors import ConfigError

LIMITS = [f.name for f in dataclasses.fields(MinerConfig) if f.name not in {"host", "port", "nonce_retention_s"}]


@pytest.mark.parametrize("name", LIMITS)
def test_every_limit_must_be_positive(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} must be above 0$"):
        MinerConfig(**{name: 0})


@pytest.mark.parametrize("port", [-1, 65536])
def test_the_port_must_exist(port: int) -> None:
    with pytest.raises(ConfigError, match="port must be between"):
        MinerConfig(port=port)
