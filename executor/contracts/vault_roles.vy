# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title  Who may do what in Tideline's vault
@notice Owner, keeper and guardian are three different accounts. The guardian only ever stops the keeper.
"""

event KeeperSet:
    keeper: indexed(address)
    until: uint256

event GuardianSet:
    guardian: indexed(address)

event PauseSet:
    is_paused: bool

event OwnerProposed:
    owner: indexed(address)

event OwnerSet:
    owner: indexed(address)

MAX_KEEPER_TERM_S: constant(uint256) = 90 * 86400

owner: public(address)
proposed_owner: public(address)
keeper: public(address)
keeper_until: public(uint256)
appointments: public(uint256)  # of keepers, ever
guardian: public(address)
is_paused: public(bool)


@deploy
def __init__(owner: address, guardian: address):
    assert owner != empty(address) and owner != guardian, "roles"
    self.owner = owner
    self.guardian = guardian
    log OwnerSet(owner=owner)
    log GuardianSet(guardian=guardian)


@external
def propose_owner(owner: address):
    self.only_owner()
    self.proposed_owner = owner
    log OwnerProposed(owner=owner)


@external
def accept_ownership():
    assert msg.sender == self.proposed_owner, "not proposed"
    assert msg.sender != self.keeper and msg.sender != self.guardian, "roles"
    self.owner = msg.sender
    self.proposed_owner = empty(address)
    log OwnerSet(owner=msg.sender)


@external
def set_keeper(keeper: address, until: uint256):
    self.only_owner()
    assert keeper != self.owner and keeper != self.guardian, "roles"
    assert until <= block.timestamp + MAX_KEEPER_TERM_S, "term"
    self.appointments += 1
    self._set_keeper(keeper, until)


@external
def set_guardian(guardian: address):
    self.only_owner()
    assert guardian != self.owner and guardian != self.keeper, "roles"
    self.guardian = guardian
    log GuardianSet(guardian=guardian)


@external
def pause():
    self._only_guardian()
    self.is_paused = True
    log PauseSet(is_paused=True)


@external
def unpause():
    self.only_owner()
    self.is_paused = False
    log PauseSet(is_paused=False)


@external
def revoke_keeper():
    self._only_guardian()
    self._set_keeper(empty(address), 0)


@internal
@view
def only_owner():
    assert msg.sender == self.owner, "not the owner"


@internal
@view
def only_keeper():
    assert msg.sender == self.keeper and block.timestamp <= self.keeper_until, "not the keeper"
    assert not self.is_paused, "paused"


@internal
@view
def _only_guardian():
    assert msg.sender == self.guardian or msg.sender == self.owner, "not the guardian"


@internal
def _set_keeper(keeper: address, until: uint256):
    self.keeper = keeper
    self.keeper_until = until
    log KeeperSet(keeper=keeper, until=until)
