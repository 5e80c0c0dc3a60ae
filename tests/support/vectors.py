"""The contract's recorded answers (tests/vectors/README.md)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent.parent / "vectors"


def load_vectors(name: str) -> Any:
    """Return one file's content."""
    return json.loads(gzip.decompress((VECTORS / f"{name}.json.gz").read_bytes()))
