"""Whether an intent is what a trusted validator signed, of this chain. Pure.

Who can write in the jobs database can write an intent there. What the executor acts on is therefore all signed: an
intent without its signature is nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Set

from db.records import Execution
from executor.guards import Allowed, Refused, Verdict
from protocol.errors import RemoteError, SimulationError
from protocol.signing import Signature, verify_intent
from protocol.units import Hotkey
from simulator.plan import Plan


def check_signature(execution: Execution, pool: str, validators: Set[Hotkey] | None) -> Verdict:
    """Judge whose an intent is.

    Parameters: execution  as it lies in the database   ·   pool  on which it is to be carried out   ·   validators
                those whose intents are carried out; None: anybody's, for a dry run
    Returns:    Allowed, or Refused naming what is wrong
    Source:     docs/protocol.md, Signatures
    """
    if validators is None:
        return Allowed()
    intent = execution.signed_intent(pool)
    if intent is None or execution.signature is None:
        return Refused("no validator has signed the intent")
    if intent.validator not in validators:
        return Refused(f"the intent is of {intent.validator}, which --validator does not name")
    try:
        verify_intent(Signature.from_text(execution.signature), intent)
    except RemoteError as error:
        return Refused(f"the intent is not as {intent.validator} signed it: {error}")
    return Allowed()


def check_block(execution: Execution, block_hash: str) -> Verdict:
    """Judge whether an intent was decided on this chain.

    Parameters: execution  an intent   ·   block_hash  of the chain's block of the number at which it was decided
    Returns:    Allowed, or Refused for now: after a reorg the validator withdraws it
    Source:     ours: a signature is for ever, and a checkpoint that is asked again has two
    """
    if execution.decided_hash in (None, block_hash):
        return Allowed()
    return Refused(f"block {execution.decided_block}, at which it was decided, is another one now", is_passing=True)


def read_plan(execution: Execution) -> Plan:
    """Return an intent's plan, to the last digit as it was approved.

    Parameters: execution  an intent
    Returns:    the plan
    Raises:     SimulationError where it is another than its digest says, or none
    Source:     ours
    """
    if hashlib.sha256(execution.plan.encode()).hexdigest() != execution.payload_digest:
        raise SimulationError("the intent's plan is not the one that was approved")
    try:
        value = json.loads(execution.plan)
    except ValueError as error:
        raise SimulationError("the intent's plan is no JSON") from error
    return Plan.from_json(value)
