"""From a live miner's plan to the intent that an executor may carry out, signed with the validator's hotkey."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from db.records import REJECTED, Execution
from protocol.signing import Signer, sign_intent
from protocol.units import Hotkey, JobId, RoundId
from simulator.evidence import canonical
from simulator.opening import RoundOpening
from simulator.plan import Plan
from simulator.round import Ask

PAPER, CHAIN, PLANNED = "paper", "chain", "planned"


def make_intent(opening: RoundOpening, ask: Ask, hotkey: Hotkey, plan: Plan, refusal: str | None) -> Execution:
    """Return the intent of a plan, or the record of why it is none."""
    text = canonical(plan.to_json())
    return Execution(
        execution_id=intent_id(opening, ask),
        chain_id=opening.market.chain_id,
        vault=opening.vault_address,
        job_id=JobId(opening.job_id),
        round_id=RoundId(opening.round_id),
        checkpoint_index=ask.index,
        hotkey=hotkey,
        mode=CHAIN if opening.is_on_chain else PAPER,
        status=_status(is_allowed=refusal is None, is_on_chain=opening.is_on_chain),
        guard="allowed" if refusal is None else refusal,
        plan=text.decode(),
        payload_digest=hashlib.sha256(text).hexdigest(),
        effective_block=ask.effective_block,
        decided_block=ask.block_number,
        decided_hash=ask.block_hash,
        validator_hotkey=opening.validator_hotkey,
    )


def intent_id(opening: RoundOpening, ask: Ask) -> str:
    """Return the id of the one intent that a checkpoint can have."""
    return f"{opening.round_id}-{ask.index}"


def signed(execution: Execution, pool: str, signer: Signer) -> Execution:
    """Return an intent with its signature. What is on paper or refused gets none: no executor can then be made to take
    it for approved.
    """
    intent = execution.signed_intent(pool)
    if execution.status != PLANNED or intent is None:
        return execution
    return replace(execution, signature=sign_intent(signer, intent).to_text())


def _status(*, is_allowed: bool, is_on_chain: bool) -> str:
    if is_on_chain:
        return PLANNED if is_allowed else REJECTED
    return PAPER if is_allowed else "refused"
