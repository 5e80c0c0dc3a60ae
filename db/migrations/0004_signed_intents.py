"""Who signed an intent, and where it was decided. Written by `tortoise makemigrations`; a released migration is never
edited.
"""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("tideline", "0003_live_rounds")]  # noqa: RUF012

    initial = False

    operations = [  # noqa: RUF012  # a plain class attribute is what Tortoise reads
        ops.AddField(model_name="LiveExecution", name="decided_block", field=fields.BigIntField(null=True)),
        ops.AddField(model_name="LiveExecution", name="decided_hash", field=fields.CharField(null=True, max_length=66)),
        ops.AddField(model_name="LiveExecution", name="signature", field=fields.CharField(null=True, max_length=256)),
        ops.AddField(
            model_name="LiveExecution", name="validator_hotkey", field=fields.CharField(null=True, max_length=64)
        ),
    ]
