"""EIP-55: the letter case of a contract address carries a checksum."""

from __future__ import annotations

import functools
import re

from Crypto.Hash import keccak

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@functools.lru_cache(maxsize=1024)
def to_checksum_address(address: str) -> str:
    """Return the mixed-case form of an address.

    Parameters: address  0x and 40 hex digits, any case
    Returns:    the same address, letter case as EIP-55 prescribes
    Raises:     ValueError if it is no address
    Source:     EIP-55
    """
    if not _ADDRESS.fullmatch(address):
        raise ValueError("not an address: expected 0x and 40 hex digits")
    digits = address[2:].lower()
    digest = keccak.new(digest_bits=256, data=digits.encode("ascii")).hexdigest()
    return "0x" + "".join(c.upper() if int(nibble, 16) >= 8 else c for c, nibble in zip(digits, digest, strict=False))


def is_valid_address(address: str) -> bool:
    """Tell whether an address is all lowercase or carries the right checksum."""
    if not _ADDRESS.fullmatch(address):
        return False
    return address == address.lower() or address == to_checksum_address(address)
