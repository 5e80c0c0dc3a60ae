"""Everything a miner can be told, in one frozen object."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import ConfigError
from protocol.wire import MAX_BODY_BYTES, NONCE_RETENTION_S


@dataclass(frozen=True, slots=True)
class MinerConfig:
    """Where the miner listens and how much it lets others take. The defaults suit one machine and a few validators."""

    host: str = "127.0.0.1"
    port: int = 8091  # 0 = any free port
    margin_s: float = 1.0  # kept back from the deadline for signing and the way home; at most a quarter of it
    max_decisions: int = 16  # strategies thinking at the same time, abandoned ones included
    body_deadline_s: float = 5.0  # for the whole body of a request
    max_body_bytes: int = MAX_BODY_BYTES
    rate_per_s: float = 50.0  # sustained requests per validator ...
    burst: int = 100  # ... and at once
    max_connections: int = 512
    max_connections_per_peer: int = 64
    max_readers_per_peer: int = 16  # unproven requests of one IP address whose bodies are being read
    idle_s: float = 15.0  # a connection without a complete request header is closed after this
    stop_s: float = 3.0  # how long answers under way may take to finish at shutdown
    nonce_retention_s: float = NONCE_RETENTION_S

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError("port must be between 0 and 65535")
        amounts = {
            "margin_s": self.margin_s,
            "max_decisions": self.max_decisions,
            "body_deadline_s": self.body_deadline_s,
            "max_body_bytes": self.max_body_bytes,
            "rate_per_s": self.rate_per_s,
            "burst": self.burst,
            "max_connections": self.max_connections,
            "max_connections_per_peer": self.max_connections_per_peer,
            "max_readers_per_peer": self.max_readers_per_peer,
            "idle_s": self.idle_s,
            "stop_s": self.stop_s,
        }
        for name, amount in amounts.items():
            if not amount > 0:
                raise ConfigError(f"{name} must be above 0")
