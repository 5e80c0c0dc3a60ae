"""An assembler for the few lines of EVM code that the tests need, and those lines: a token and a payer.

A source is words: an opcode, a number (pushed), a NAME given by the caller (pushed), `:label` (a jump target) or
`@label` (pushed).
"""

from __future__ import annotations

OPCODES = {
    "stop": 0x00,
    "add": 0x01,
    "mul": 0x02,
    "sub": 0x03,
    "lt": 0x10,
    "slt": 0x12,
    "eq": 0x14,
    "iszero": 0x15,
    "shl": 0x1B,
    "shr": 0x1C,
    "caller": 0x33,
    "calldataload": 0x35,
    "calldatasize": 0x36,
    "calldatacopy": 0x37,
    "returndatasize": 0x3D,
    "returndatacopy": 0x3E,
    "mstore": 0x52,
    "sload": 0x54,
    "sstore": 0x55,
    "jump": 0x56,
    "jumpi": 0x57,
    "gas": 0x5A,
    "dup1": 0x80,
    "dup2": 0x81,
    "create": 0xF0,
    "call": 0xF1,
    "return": 0xF3,
    "revert": 0xFD,
}
PUSH1, JUMPDEST = 0x60, 0x5B

# Balances lie at the holder's own address. Anyone may mint, and move anyone's tokens. An amount that is not there, or
# that overflows when minted or transferred, reverts.
TOKEN = """
    0 calldataload 0xe0 shr
    dup1 0x70a08231 eq @balance_of jumpi
    dup1 0xa9059cbb eq @transfer jumpi
    dup1 0x40c10f19 eq @mint jumpi
    dup1 0x23b872dd eq @transfer_from jumpi
:fail
    0 0 revert
:balance_of
    4 calldataload sload 0 mstore 32 0 return
:transfer
    36 calldataload
    dup1 caller sload lt @fail jumpi
    dup1 caller sload sub caller sstore
    @credit jump
:mint
    36 calldataload
:credit
    dup1 4 calldataload sload add
    dup2 dup2 lt @fail jumpi
    4 calldataload sstore
    1 0 mstore 32 0 return
:transfer_from
    68 calldataload
    dup1 4 calldataload sload lt @fail jumpi
    dup1 4 calldataload sload sub 4 calldataload sstore
    36 calldataload sload add
    36 calldataload sstore
    1 0 mstore 32 0 return
"""

# Called by anyone: passes the call on to POOL. Called by POOL: pays what it is owed, on TOKEN0 and TOKEN1, by calling
# PAY (the selector of mint or of transfer):
# for a flash what its data says (two words), for a mint or swap what the pool asks for where that is positive.
PAYER = """
    caller POOL eq @callback jumpi
    calldatasize 0 0 calldatacopy
    0 0 calldatasize 0 0 POOL gas call
    returndatasize 0 0 returndatacopy
    @success jumpi
    returndatasize 0 revert
:success
    returndatasize 0 return
:callback
    0 calldataload 0xe0 shr 0xe9cbafb0 eq @flash jumpi
    4 calldataload dup1 0 slt mul
    36 calldataload dup1 0 slt mul
    @pay jump
:flash
    132 calldataload
    164 calldataload
:pay
    PAY 0xe0 shl 0 mstore
    POOL 4 mstore
    36 mstore
    0 0 68 0 0 TOKEN1 gas call iszero @fail jumpi
    36 mstore
    0 0 68 0 0 TOKEN0 gas call iszero @fail jumpi
    stop
:fail
    0 0 revert
"""

# The same for PancakeSwap's pool, whose callbacks have other names.
PANCAKE_PAYER = PAYER.replace("0xe9cbafb0", "0xa1d48336")

# Creates what it is sent, and tells the new pool its parameters, as PancakeSwap's pool asks of who deploys it.
PANCAKE_DEPLOYER = """
    5 calldatasize lt @parameters jumpi
    calldatasize 0 0 calldatacopy
    calldatasize 0 0 create
    0 mstore 32 0 return
:parameters
    FACTORY 0 mstore TOKEN0 32 mstore TOKEN1 64 mstore FEE 96 mstore SPACING 128 mstore
    160 0 return
"""

# What a payer's PAY can be: out of nothing, or out of what it holds.
MINT, TRANSFER = 0x40C10F19, 0xA9059CBB


def assemble(source: str, **names: int) -> bytes:
    """Return the code of a source; `names` are constants it may push."""
    code = bytearray()
    labels: dict[str, int] = {}
    uses: list[tuple[int, str]] = []
    for word in source.split():
        if word.startswith(":"):
            labels[word[1:]] = len(code)
            code.append(JUMPDEST)
        elif word.startswith("@"):
            uses.append((len(code) + 1, word[1:]))
            code += bytes([PUSH1 + 1, 0, 0])
        elif word in OPCODES:
            code.append(OPCODES[word])
        else:
            value = names[word] if word in names else int(word, 0)
            size = max(1, -(-value.bit_length() // 8))
            code += bytes([PUSH1 + size - 1]) + value.to_bytes(size, "big")
    for place, label in uses:
        code[place : place + 2] = labels[label].to_bytes(2, "big")
    return bytes(code)
