"""The tables, declared once; `db.tables` makes them concrete for each database.

Times are unix seconds, days are ISO dates, JSON is text that the store does not interpret, and history is never
deleted: every foreign key restricts.
"""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from db.fields import Int256Field, SafeTextField, optional_int256, optional_text

APP = "tideline"


class JobRow(Model):
    """One vault on one pool with a target."""

    job_id = fields.CharField(max_length=64, primary_key=True)
    sn_liquidity_manager_address = fields.CharField(max_length=42)
    pair_address = fields.CharField(max_length=42)
    target = fields.CharField(max_length=16)
    chain_id = fields.BigIntField()
    round_duration_seconds = fields.IntField()
    is_active = fields.BooleanField()
    checkpoint_interval_blocks = fields.IntField()
    miner_deadline_seconds = fields.IntField()
    quote_token = fields.CharField(max_length=6)
    weight = fields.CharField(max_length=24)  # decimal text: exact, and the same on both databases
    max_pool_share = fields.IntField()
    feed = fields.CharField(max_length=16)
    record: fields.Field[str | None] = fields.CharField(max_length=64, null=True)
    opening = optional_text()
    gas_price_wei = Int256Field()
    native_token: fields.Field[str | None] = fields.CharField(max_length=6, null=True)
    native_rate_num = optional_int256()
    native_rate_den = optional_int256()
    live_mode = fields.CharField(max_length=16, default="paper")
    live_confidence_ppm = fields.IntField(default=0)
    revision = fields.BigIntField()
    created_at = fields.BigIntField()
    updated_at = fields.BigIntField()
    removed_at: fields.Field[int | None] = fields.BigIntField(null=True)
    lease_holder: fields.Field[str | None] = fields.CharField(max_length=128, null=True)
    lease_until: fields.Field[int | None] = fields.BigIntField(null=True)

    class Meta:
        abstract = True


class RoundRow(Model):
    """One evaluation or live period of a job."""

    round_id = fields.CharField(max_length=128, primary_key=True)
    job: fields.ForeignKeyRelation[JobRow] = fields.ForeignKeyField(
        f"{APP}.Job", related_name=False, on_delete=fields.RESTRICT
    )
    job_id: str
    round_number = fields.BigIntField()
    round_type = fields.CharField(max_length=16)
    mode = fields.CharField(max_length=16)
    status = fields.CharField(max_length=16)
    reason = SafeTextField()
    start_block = fields.BigIntField()
    end_block: fields.Field[int | None] = fields.BigIntField(null=True)
    start_timestamp = fields.BigIntField()
    end_timestamp: fields.Field[int | None] = fields.BigIntField(null=True)
    block_hash = fields.CharField(max_length=66)
    snapshot_digest = fields.CharField(max_length=66)
    winner_hotkey: fields.Field[str | None] = fields.CharField(max_length=64, null=True)
    evidence_digest: fields.Field[str | None] = fields.CharField(max_length=66, null=True)
    evidence_signature: fields.Field[str | None] = fields.CharField(max_length=256, null=True)
    code_version = fields.CharField(max_length=64)
    opened_at = fields.BigIntField()
    closed_at: fields.Field[int | None] = fields.BigIntField(null=True)

    class Meta:
        abstract = True
        unique_together = (("job_id", "round_number", "round_type"),)
        indexes = (("status",),)


class RoundEvidenceRow(Model):
    """What a round was computed from, compressed by its writer."""

    round_id = fields.CharField(max_length=128, primary_key=True)
    opening = fields.BinaryField()
    blocks = fields.BinaryField()

    class Meta:
        abstract = True


class PredictionRow(Model):
    """One question to one miner and what came back, as sent and as signed."""

    id = fields.BigIntField(primary_key=True)
    round: fields.ForeignKeyRelation[RoundRow] = fields.ForeignKeyField(
        f"{APP}.Round", related_name=False, on_delete=fields.RESTRICT
    )
    round_id: str
    checkpoint_index = fields.IntField()
    hotkey = fields.CharField(max_length=64)
    uid = fields.IntField()
    outcome = fields.CharField(max_length=16)
    detail = SafeTextField()
    request_body = fields.BinaryField()
    response_body: fields.Field[bytes | None] = fields.BinaryField(null=True)
    request_headers = SafeTextField()
    nonce_ns = fields.BigIntField()
    request_signature: fields.Field[str | None] = fields.CharField(max_length=256, null=True)
    response_signature = optional_text()  # of any length: a peer's
    crypto_type = fields.IntField()
    elapsed_ms = fields.BigIntField()

    class Meta:
        abstract = True
        unique_together = (("round_id", "checkpoint_index", "hotkey"),)


class RoundScoreRow(Model):
    """What a miner earned in a round, with its ledger."""

    id = fields.BigIntField(primary_key=True)
    round: fields.ForeignKeyRelation[RoundRow] = fields.ForeignKeyField(
        f"{APP}.Round", related_name=False, on_delete=fields.RESTRICT
    )
    round_id: str
    hotkey = fields.CharField(max_length=64)
    uid = fields.IntField()
    outcome = fields.CharField(max_length=16)
    scored = fields.BooleanField()
    can_win = fields.BooleanField()
    score_e18 = Int256Field()
    is_winner = fields.BooleanField()
    ledger = SafeTextField()
    flags = SafeTextField()
    registered_at_block = fields.BigIntField()

    class Meta:
        abstract = True
        unique_together = (("round_id", "hotkey"),)


class MinerScoreRow(Model):
    """A miner's reputation at a job. A hotkey registered anew is a new miner."""

    id = fields.BigIntField(primary_key=True)
    job: fields.ForeignKeyRelation[JobRow] = fields.ForeignKeyField(
        f"{APP}.Job", related_name=False, on_delete=fields.RESTRICT
    )
    job_id: str
    hotkey = fields.CharField(max_length=64)
    uid = fields.IntField()
    evaluation_e18 = Int256Field()
    live_e18 = Int256Field()
    combined_e18 = Int256Field()
    evaluation_rounds = fields.BigIntField()
    live_rounds = fields.BigIntField()
    wins = fields.BigIntField()
    last_round_id = fields.CharField(max_length=128)
    registered_at_block = fields.BigIntField()

    class Meta:
        abstract = True
        unique_together = (("job_id", "hotkey"),)


class MinerParticipationRow(Model):
    """A miner's rounds of one UTC day of chain time."""

    id = fields.BigIntField(primary_key=True)
    job: fields.ForeignKeyRelation[JobRow] = fields.ForeignKeyField(
        f"{APP}.Job", related_name=False, on_delete=fields.RESTRICT
    )
    job_id: str
    hotkey = fields.CharField(max_length=64)
    day = fields.CharField(max_length=10)
    scored_rounds = fields.BigIntField()
    conclusive_rounds = fields.BigIntField()

    class Meta:
        abstract = True
        unique_together = (("job_id", "hotkey", "day"),)
        indexes = (("job_id", "day"),)


class LiveExecutionRow(Model):
    """An intent and, later, its execution."""

    execution_id = fields.CharField(max_length=128, primary_key=True)
    chain_id = fields.BigIntField()
    vault = fields.CharField(max_length=42)
    job: fields.ForeignKeyRelation[JobRow] = fields.ForeignKeyField(
        f"{APP}.Job", related_name=False, on_delete=fields.RESTRICT
    )
    job_id: str
    round: fields.ForeignKeyRelation[RoundRow] = fields.ForeignKeyField(
        f"{APP}.Round", related_name=False, on_delete=fields.RESTRICT
    )
    round_id: str
    checkpoint_index = fields.IntField()
    hotkey = fields.CharField(max_length=64)
    mode = fields.CharField(max_length=16)
    status = fields.CharField(max_length=32)
    guard = SafeTextField()
    plan = SafeTextField()
    payload_digest = fields.CharField(max_length=66)
    effective_block = fields.BigIntField()
    decided_block: fields.Field[int | None] = fields.BigIntField(null=True)
    decided_hash: fields.Field[str | None] = fields.CharField(max_length=66, null=True)
    validator_hotkey: fields.Field[str | None] = fields.CharField(max_length=64, null=True)
    signature: fields.Field[str | None] = fields.CharField(max_length=256, null=True)
    tx_hash: fields.Field[str | None] = fields.CharField(max_length=66, null=True)
    gas_used = optional_int256()
    amounts = optional_text()
    created_at = fields.BigIntField()
    updated_at = fields.BigIntField()

    class Meta:
        abstract = True
        unique_together = (("chain_id", "vault", "job_id", "round_id", "checkpoint_index"),)


class TransactionRow(Model):
    """An intent's call on its way to the chain, and its receipt (`mined_...`) while it has one."""

    execution_id = fields.CharField(max_length=128, primary_key=True)
    chain_id = fields.BigIntField()
    sender = fields.CharField(max_length=42)
    to = fields.CharField(max_length=42)
    data = fields.TextField()
    deadline = fields.BigIntField()
    phase = fields.CharField(max_length=16)
    reason = SafeTextField(default="")
    nonce: fields.Field[int | None] = fields.BigIntField(null=True)
    gas_limit: fields.Field[int | None] = fields.BigIntField(null=True)
    simulated_block: fields.Field[int | None] = fields.BigIntField(null=True)
    mined_tx_hash: fields.Field[str | None] = fields.CharField(max_length=66, null=True)
    mined_block_number: fields.Field[int | None] = fields.BigIntField(null=True)
    mined_block_hash: fields.Field[str | None] = fields.CharField(max_length=66, null=True)
    mined_succeeded: fields.Field[bool | None] = fields.BooleanField(null=True)
    mined_gas_used: fields.Field[int | None] = fields.BigIntField(null=True)
    mined_fee_wei = optional_int256()
    created_at = fields.BigIntField()
    updated_at = fields.BigIntField()

    class Meta:
        abstract = True
        unique_together = (("chain_id", "sender", "nonce"),)


class TransactionAttemptRow(Model):
    """Signed bytes, stored before they are sent."""

    tx_hash = fields.CharField(max_length=66, primary_key=True)
    execution_id = fields.CharField(max_length=128)
    number = fields.IntField()
    purpose = fields.CharField(max_length=8)
    signed_bytes = fields.TextField()
    max_fee_wei = Int256Field()
    tip_wei = Int256Field()
    sent_at: fields.Field[int | None] = fields.BigIntField(null=True)
    refusal = SafeTextField(default="")

    class Meta:
        abstract = True
        unique_together = (("execution_id", "number"),)


class ExecutorKeyRow(Model):
    """Who may sign with a key, and the nonce after the last signed."""

    id = fields.BigIntField(primary_key=True)
    chain_id = fields.BigIntField()
    sender = fields.CharField(max_length=42)
    fence = fields.BigIntField()
    next_nonce: fields.Field[int | None] = fields.BigIntField(null=True)
    lease_holder: fields.Field[str | None] = fields.CharField(max_length=128, null=True)
    lease_until = fields.BigIntField()

    class Meta:
        abstract = True
        unique_together = (("chain_id", "sender"),)


class ExecutorControlRow(Model):
    """The kill switch: one row."""

    name = fields.CharField(max_length=16, primary_key=True)
    is_halted = fields.BooleanField()
    reason = SafeTextField()
    updated_at = fields.BigIntField()

    class Meta:
        abstract = True


class WeightSetRow(Model):
    """One attempt to set weights, and what the chain said."""

    id = fields.BigIntField(primary_key=True)
    netuid = fields.IntField()
    block = fields.BigIntField()
    epoch_index = fields.BigIntField()
    weights = SafeTextField()
    included = fields.BooleanField()
    read_back_ok = fields.BooleanField()
    message = SafeTextField()
    created_at = fields.BigIntField()

    class Meta:
        abstract = True
        indexes = (("netuid", "epoch_index"),)
