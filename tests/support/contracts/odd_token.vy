# pragma version ==0.4.3
# pragma evm-version cancun
"""
@title  A token with the habits that real ones have: it answers nothing, answers False, refuses, or tells somebody
"""

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
is_mute: public(bool)  # transfers answer nothing, and of nothing revert
is_blocked: public(bool)  # transfers revert
is_false: public(bool)  # transfers do nothing and answer False
listener: public(address)  # is called in every transfer


@external
def behave(is_mute: bool, is_blocked: bool, is_false: bool, listener: address):
    self.is_mute = is_mute
    self.is_blocked = is_blocked
    self.is_false = is_false
    self.listener = listener


@external
def mint(receiver: address, amount: uint256):
    self.balanceOf[receiver] += amount


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True


@external
@raw_return
def transfer(receiver: address, amount: uint256) -> Bytes[32]:
    return self._move(msg.sender, receiver, amount)


@external
@raw_return
def transferFrom(sender: address, receiver: address, amount: uint256) -> Bytes[32]:
    self.allowance[sender][msg.sender] -= amount
    return self._move(sender, receiver, amount)


@internal
def _move(sender: address, receiver: address, amount: uint256) -> Bytes[32]:
    assert not self.is_blocked, "blocked"
    assert amount > 0 or not self.is_mute, "of nothing"
    if self.is_false:
        return abi_encode(False)
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    if self.listener != empty(address):
        told: bool = raw_call(self.listener, b"", revert_on_failure=False)
    return b"" if self.is_mute else abi_encode(True)
