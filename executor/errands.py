"""What a vault's owner or guardian may want of it, each as one or more transactions and in plain words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from executor.vault import VaultLimits, vault_code
from executor.vault_abi import deployment_arguments
from executor.vault_adapter import Step
from executor.vault_facts import VaultFacts
from protocol.errors import ConfigError
from simulator.chain.abi import address_of, call_data, keccak256
from simulator.portfolio import Range

MAX_KEEPER_DAYS = 90  # vault_roles.vy
_DAY_S = 86_400
_NOBODY = "0x" + "00" * 20
_EVERYTHING = 2**256 - 1  # the contract sends what there is, and no more


@dataclass(frozen=True, slots=True)
class Errand:
    """One transaction. `after` says what will be so then; `gas_guess` stands where it cannot be tried before those
    ahead of it are done.
    """

    name: str
    step: Step
    will: str
    after: str
    gas_guess: int | None = None


def deploy(pool: str, owner: str, guardian: str, limits: VaultLimits, *, sender: str, nonce: int) -> tuple[Errand, str]:
    """Return the deployment of a vault, and where the vault will be.

    Parameters: four addresses   ·   limits  within the contract's bounds   ·   nonce  of the sender's next transaction
    Returns:    the errand and an address in lower case
    Raises:     ConfigError where owner and guardian are one
    Source:     executor/contracts/vault.vy; the Yellow Paper's rule for the address of a new contract
    """
    if owner.lower() == guardian.lower():
        raise ConfigError("owner and guardian must be two accounts: the guardian is who stops a keeper if you cannot")
    address = contract_address(sender, nonce)
    code = vault_code().creation_code + deployment_arguments(pool, owner, guardian, limits)
    will = f"make a vault on pool {pool} that belongs to {owner}, with {guardian} as its guardian"
    after = f"the vault is {address}, empty and without a keeper"
    return Errand("deploy", Step("", code), will, after), address


def contract_address(sender: str, nonce: int) -> str:
    """Return where a contract comes to be that an account makes.

    Parameters: sender  an address   ·   nonce  of the transaction
    Returns:    an address in lower case
    Source:     the Yellow Paper, section 7: the hash of the RLP of both
    """
    number = b"" if nonce == 0 else nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    item = number if len(number) == 1 and number[0] < 0x80 else bytes([0x80 + len(number)]) + number
    body = b"\x94" + bytes.fromhex(sender.removeprefix("0x")) + item
    return address_of(int.from_bytes(keccak256(bytes([0xC0 + len(body)]) + body)[12:], "big"))


def deposit(facts: VaultFacts, sender: str, amounts: tuple[int, int], allowed: tuple[int, int]) -> list[Errand]:
    """Return what brings tokens into a vault: the vault is allowed exactly these, then takes them.

    Parameters: amounts  raw units, not both 0   ·   allowed  what the vault may take of the sender already
    Returns:    one to five transactions; an old allowance that is too small is taken back before, as some tokens want
    Raises:     ConfigError where the sender is not the owner, or nothing is given
    Source:     executor/contracts/vault.vy
    """
    _require_owner(facts, sender)
    if amounts == (0, 0) or min(amounts) < 0:
        raise ConfigError("say how much to deposit: --amount0 and --amount1, in raw units of the tokens")
    errands: list[Errand] = []
    for token, amount, old in zip((facts.token0, facts.token1), amounts, allowed, strict=True):
        if old < amount:
            steps = (0, amount) if old else (amount,)
            errands += [_approval(token, facts.address, value) for value in steps]
    call, guess = _step(facts, "deposit(uint256,uint256)", *amounts), 250_000 if errands else None
    will = f"deposit {amounts[0]} of token0 and {amounts[1]} of token1 (raw units)"
    return [*errands, Errand("deposit", call, will, "they lie idle until the next plan", guess)]


def _approval(token: str, vault: str, amount: int) -> Errand:
    data = bytes.fromhex(call_data("approve(address,uint256)", int(vault, 16), amount)[2:])
    will = f"allow the vault to take {amount} of token {token}" if amount else f"take back what it may of token {token}"
    return Errand("approve", Step(token, data), will, "nothing has moved yet", 80_000)


def withdraw(facts: VaultFacts, sender: str) -> Errand:
    """Return the closing of everything, both tokens sent to the owner. Raises ConfigError for anybody else."""
    will = f"close every position and send all of both tokens to the owner {facts.owner}"
    return owners(facts, sender, "withdraw_all()", (), "withdraw", will, "the vault is empty")


def withdraw_token(facts: VaultFacts, sender: str, *, of_token0: bool) -> Errand:
    """Return the same for one token, for when transfers of the other fail. Raises ConfigError for anybody else."""
    token = facts.token0 if of_token0 else facts.token1
    will = f"close every position and send all of token {token} alone to the owner {facts.owner}"
    after = "what there was of the other token is owed by the pool, or idle, until a later withdrawal"
    return owners(facts, sender, "withdraw_token(bool)", (int(of_token0),), "withdraw", will, after)


def release(facts: VaultFacts, sender: str, at: Range) -> Errand:
    """Return the closing of one range into the vault, also of one that others opened in its name.

    Parameters: at  ticks that a pool can have
    Raises:     ConfigError where the sender is not the owner
    Source:     executor/contracts/vault.vy
    """
    ticks = at.tick_lower, at.tick_upper
    will = f"close the range {ticks[0]}..{ticks[1]} into the vault, with its fees"
    after = "what it held lies idle; `withdraw` takes it with everything else, `sweep` takes one idle token alone"
    return owners(facts, sender, "release(int24,int24)", ticks, "release", will, after)


def sweep(facts: VaultFacts, sender: str, token: str, *, idle: int, amount: int | None = None) -> Errand:
    """Return the sending of an idle token, of any kind, to the owner.

    Parameters: idle  what the vault has of it, raw units   ·   amount  of these; None: all that there is by then
    Raises:     ConfigError where the sender is not the owner, there is none of it, or not so much
    Source:     executor/contracts/vault.vy
    """
    _require_owner(facts, sender)
    if idle == 0:
        raise ConfigError(f"the vault has no idle {token}; there is nothing to sweep")
    if amount is not None and amount > idle:
        raise ConfigError(f"the vault has only {idle} of {token} idle (raw units), not {amount}")
    sent = f"all {idle}" if amount is None else str(amount)
    will = f"send {sent} of the idle token {token} (raw units) to the owner {facts.owner}"
    arguments = int(token, 16), _EVERYTHING if amount is None else amount
    return owners(facts, sender, "sweep(address,uint256)", arguments, "sweep", will, "the positions stay as they are")


def claim_fees(facts: VaultFacts, sender: str) -> Errand:
    """Return the sending of all fees earned to the owner. Raises ConfigError for anybody else."""
    will = f"send the fees that the positions have earned to the owner {facts.owner}"
    return owners(facts, sender, "claim_fees()", (), "claim fees", will, "the positions stay as they are")


def pause(facts: VaultFacts, sender: str) -> Errand:
    """Return the stop of the keeper. Raises ConfigError where the sender may not, or it is stopped."""
    if facts.is_paused:
        raise ConfigError("the vault is paused already; there is nothing to do")
    after = "the keeper can do nothing; withdrawals work as before; only the owner can unpause"
    return _guardians(facts, sender, "pause()", "pause", "stop the keeper", after)


def unpause(facts: VaultFacts, sender: str) -> Errand:
    """Return the end of the stop. Raises ConfigError where the sender may not, or there is none."""
    _require_owner(facts, sender)
    if not facts.is_paused:
        raise ConfigError("the vault is not paused; there is nothing to do")
    after = f"the keeper {facts.keeper} may carry out plans again, within the limits"
    return owners(facts, sender, "unpause()", (), "unpause", "let the keeper work again", after)


def set_keeper(facts: VaultFacts, sender: str, keeper: str, *, days: int, now: int) -> Errand:
    """Return the appointment of a keeper for some days from now (unix seconds of the chain).

    Parameters: days  1..90
    Raises:     ConfigError where the sender is not the owner, or the keeper is the owner or the guardian
    Source:     executor/contracts/vault_roles.vy
    """
    _require_owner(facts, sender)
    _require_apart("keeper", keeper, {"owner": facts.owner, "guardian": facts.guardian})
    until = now + days * _DAY_S
    will = f"appoint {keeper} as keeper for {days} days, in place of {_somebody(facts.keeper)}"
    most = facts.limits.max_daily_loss_ppm
    after = f"until then the keeper may lose at most {most} ppm of the vault a day by plans, as its pool's means count"
    return owners(facts, sender, "set_keeper(address,uint256)", (int(keeper, 16), until), "set keeper", will, after)


def revoke_keeper(facts: VaultFacts, sender: str) -> Errand:
    """Return the dismissal of the keeper. Raises ConfigError where the sender may not, or there is none."""
    if facts.keeper == _NOBODY:
        raise ConfigError("the vault has no keeper; there is nothing to do")
    will = f"dismiss the keeper {facts.keeper}"
    return _guardians(facts, sender, "revoke_keeper()", "revoke keeper", will, "nobody can carry out plans")


def set_guardian(facts: VaultFacts, sender: str, guardian: str) -> Errand:
    """Return the appointment of a guardian. Raises ConfigError where the sender is not the owner, or the guardian has
    another part in the vault.
    """
    _require_owner(facts, sender)
    taken = {"owner": facts.owner, "keeper": facts.keeper, "proposed owner": facts.proposed_owner}
    _require_apart("guardian", guardian, taken)
    if guardian.lower() == facts.guardian:
        raise ConfigError(f"{guardian} is the guardian already; there is nothing to do")
    will = f"make {guardian} the guardian, in place of {_somebody(facts.guardian)}"
    after = f"the old guardian may do nothing more; {_accounts(facts.owner, facts.keeper, guardian)}"
    return owners(facts, sender, "set_guardian(address)", (int(guardian, 16),), "set guardian", will, after)


def propose_owner(facts: VaultFacts, sender: str, heir: str | None) -> Errand:
    """Return the offer of the vault to somebody, or with None the end of such an offer. Raises ConfigError where the
    sender is not the owner, the heir has another part in the vault and could not accept, or nothing would change.
    """
    _require_owner(facts, sender)
    old = facts.proposed_owner
    if heir is None:
        if old == _NOBODY:
            raise ConfigError("nobody is proposed as owner; there is nothing to do")
        will, after = f"take back that {old} may take the vault over", "nobody may; you stay the owner"
        return owners(facts, sender, "propose_owner(address)", (0,), "propose owner", will, after)
    _require_apart("new owner", heir, {"owner": facts.owner, "keeper": facts.keeper, "guardian": facts.guardian})
    if heir.lower() == old:
        raise ConfigError(f"{heir} is proposed already; there is nothing to do until it accepts")
    instead = "" if old == _NOBODY else f", and {old} no more"
    will = f"let {heir} take the vault over, with everything in it{instead}"
    then = _accounts(heir, facts.keeper, facts.guardian)
    after = f"you stay the owner until that accepts, which may be at any time; then {then}"
    return owners(facts, sender, "propose_owner(address)", (int(heir, 16),), "propose owner", will, after)


def accept_ownership(facts: VaultFacts, sender: str) -> Errand:
    """Return the taking over of a vault. Raises ConfigError where it was not offered to the sender, or he has another
    part in it.
    """
    if sender.lower() != facts.proposed_owner:
        offered = "to nobody" if facts.proposed_owner == _NOBODY else f"to {facts.proposed_owner}"
        raise ConfigError(f"the vault is not offered to {sender}, but {offered}; its owner {facts.owner} proposes")
    _require_apart("new owner", sender, {"keeper": facts.keeper, "guardian": facts.guardian})
    will = f"take the vault over from {facts.owner}, with everything in it"
    after = f"{_accounts(sender, facts.keeper, facts.guardian)}; keeper, guardian and limits stay until you change them"
    return Errand("accept ownership", _step(facts, "accept_ownership()"), will, after)


def _require_apart(part: str, account: str, taken: Mapping[str, str]) -> None:
    if account.lower() == _NOBODY:
        raise ConfigError(f"the {part} cannot be the zero address: that is nobody")
    for other, holder in taken.items():
        if account.lower() == holder:
            rule = "owner, keeper and guardian are three different accounts"
            raise ConfigError(f"the {part} must be an account of its own, and {account} is the {other}: {rule}")


def _accounts(owner: str, keeper: str, guardian: str) -> str:
    return f"owner {owner}, keeper {_somebody(keeper)}, guardian {_somebody(guardian)}: three different accounts"


def _somebody(address: str) -> str:
    return "nobody" if address == _NOBODY else address


def owners(
    facts: VaultFacts, sender: str, signature: str, arguments: Sequence[int], name: str, will: str, after: str
) -> Errand:
    """Return a call that the owner alone may make, its arguments one word each. Raises ConfigError for anybody else."""
    _require_owner(facts, sender)
    return Errand(name, _step(facts, signature, *arguments), will, after)


def _step(facts: VaultFacts, signature: str, *arguments: int) -> Step:
    return Step(facts.address, bytes.fromhex(call_data(signature, *arguments)[2:]))


def _guardians(facts: VaultFacts, sender: str, signature: str, name: str, will: str, after: str) -> Errand:
    if sender.lower() not in (facts.owner, facts.guardian):
        raise ConfigError(
            f"{sender} is neither owner nor guardian of {facts.address}; those are {facts.owner}, {facts.guardian}"
        )
    return Errand(name, _step(facts, signature), will, after)


def _require_owner(facts: VaultFacts, sender: str) -> None:
    if sender.lower() != facts.owner:
        raise ConfigError(f"{sender} is not the owner of vault {facts.address}; that is {facts.owner}")
