# pragma version ==0.4.3
# pragma evm-version cancun
"""
@title  A contract that does as it is told: at once, or when a token tells it of a transfer
"""

target: public(address)
data: Bytes[4096]
is_armed: public(bool)
succeeded: public(bool)
answer: public(Bytes[96])


@external
def act(target: address, data: Bytes[4096]):
    """@notice Call in this contract's name"""
    raw_call(target, data)


@external
def arm(target: address, data: Bytes[4096]):
    """@notice Call so when told of the next transfer"""
    self.target = target
    self.data = data
    self.is_armed = True


@external
@payable
def __default__():
    if not self.is_armed:
        return
    self.is_armed = False
    self.succeeded, self.answer = raw_call(self.target, self.data, max_outsize=96, revert_on_failure=False)
