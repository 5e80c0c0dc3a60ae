"""The functions of our vault, as its compiler tells them."""

from __future__ import annotations

from functools import cache
from typing import Any

from vyper.compiler import compile_code
from vyper.compiler.input_bundle import FilesystemInputBundle

from executor.vault import CONTRACTS


@cache
def vault_functions() -> dict[str, str]:
    """Return each function's signature, and whether it changes anything: `view`, `pure` or `nonpayable`."""
    source = (CONTRACTS / "vault.vy").read_text()
    output = compile_code(source, output_formats=["abi"], input_bundle=FilesystemInputBundle([CONTRACTS]))
    functions = [item for item in output["abi"] if item["type"] == "function"]
    return {_signature(item): item["stateMutability"] for item in functions}


def _signature(function: dict[str, Any]) -> str:
    return f"{function['name']}({','.join(map(_type, function['inputs']))})"


def _type(field: dict[str, Any]) -> str:
    if not field["type"].startswith("tuple"):
        return str(field["type"])
    return f"({','.join(map(_type, field['components']))}){field['type'].removeprefix('tuple')}"
