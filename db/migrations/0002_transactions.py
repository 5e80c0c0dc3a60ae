"""The executor's transactions. Written by `tortoise makemigrations`; a released migration is never edited."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from db.fields import Int256Field, SafeTextField


class Migration(migrations.Migration):
    dependencies = [("tideline", "0001_initial")]  # noqa: RUF012

    initial = False

    operations = [  # noqa: RUF012  # a plain class attribute is what Tortoise reads
        ops.CreateModel(
            name="ExecutorControl",
            fields=[
                ("name", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=16)),
                ("is_halted", fields.BooleanField()),
                ("reason", SafeTextField(unique=False)),
                ("updated_at", fields.BigIntField()),
            ],
            options={"table": "executor_control", "app": "tideline", "pk_attr": "name"},
            bases=["ExecutorControlRow"],
        ),
        ops.CreateModel(
            name="ExecutorKey",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("chain_id", fields.BigIntField()),
                ("sender", fields.CharField(max_length=42)),
                ("fence", fields.BigIntField()),
                ("next_nonce", fields.BigIntField(null=True)),
                ("lease_holder", fields.CharField(null=True, max_length=128)),
                ("lease_until", fields.BigIntField()),
            ],
            options={
                "table": "executor_keys",
                "app": "tideline",
                "unique_together": (("chain_id", "sender"),),
                "pk_attr": "id",
            },
            bases=["ExecutorKeyRow"],
        ),
        ops.CreateModel(
            name="Transaction",
            fields=[
                ("execution_id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=128)),
                ("chain_id", fields.BigIntField()),
                ("sender", fields.CharField(max_length=42)),
                ("to", fields.CharField(max_length=42)),
                ("data", fields.TextField(unique=False)),
                ("deadline", fields.BigIntField()),
                ("phase", fields.CharField(max_length=16)),
                ("reason", SafeTextField(default="", unique=False)),
                ("nonce", fields.BigIntField(null=True)),
                ("gas_limit", fields.BigIntField(null=True)),
                ("simulated_block", fields.BigIntField(null=True)),
                ("mined_tx_hash", fields.CharField(null=True, max_length=66)),
                ("mined_block_number", fields.BigIntField(null=True)),
                ("mined_block_hash", fields.CharField(null=True, max_length=66)),
                ("mined_succeeded", fields.BooleanField(null=True)),
                ("mined_gas_used", fields.BigIntField(null=True)),
                ("mined_fee_wei", Int256Field(null=True, generated=False, unique=False)),
                ("created_at", fields.BigIntField()),
                ("updated_at", fields.BigIntField()),
            ],
            options={
                "table": "executor_transactions",
                "app": "tideline",
                "unique_together": (("chain_id", "sender", "nonce"),),
                "pk_attr": "execution_id",
            },
            bases=["TransactionRow"],
        ),
        ops.CreateModel(
            name="TransactionAttempt",
            fields=[
                ("tx_hash", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=66)),
                ("execution_id", fields.CharField(max_length=128)),
                ("number", fields.IntField()),
                ("purpose", fields.CharField(max_length=8)),
                ("signed_bytes", fields.TextField(unique=False)),
                ("max_fee_wei", Int256Field(generated=False, null=False, unique=False)),
                ("tip_wei", Int256Field(generated=False, null=False, unique=False)),
                ("sent_at", fields.BigIntField(null=True)),
                ("refusal", SafeTextField(default="", unique=False)),
            ],
            options={
                "table": "executor_attempts",
                "app": "tideline",
                "unique_together": (("execution_id", "number"),),
                "pk_attr": "tx_hash",
            },
            bases=["TransactionAttemptRow"],
        ),
    ]
