"""What both ends of the wire agree on before a byte is read: the path, the version and every size cap."""

from __future__ import annotations

PROTOCOL_VERSION = 1
REBALANCE_PATH = "/v1/rebalance"
HEALTH_PATH = "/health"
CONTENT_TYPE = "application/json"

MAX_BODY_BYTES = 64 * 1024  # a query or an answer with 50 positions of 78-digit numbers stays under half of it
MAX_NESTING = 8  # the deepest message is 3 deep
MAX_CONTAINERS = 1024  # raw '{' and '[' in one body; the largest valid message has under 700, texts included
MAX_NUMBER_CHARS = 32  # a JSON number literal; anything that can exceed 2**53 travels as a decimal string
MAX_DECIMAL_DIGITS = 78  # digits of 2**256 - 1
MAX_POSITIONS = 50
MAX_DEADLINE_S = 60
MAX_ID_CHARS = 128
MAX_REASON_CHARS = 256
MAX_METADATA_CHARS = 256

MAX_AGE_S = 10.0  # a signed request is fresh for this long ...
ALLOWED_SKEW_S = 2.0  # ... and may come this far from the future
NONCE_RETENTION_S = 60.0  # a server remembers nonces for longer than any request stays fresh
