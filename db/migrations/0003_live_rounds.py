"""How live rounds of a job are played. Written by `tortoise makemigrations`; a released migration is never edited."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("tideline", "0002_transactions")]  # noqa: RUF012

    initial = False

    operations = [  # noqa: RUF012  # a plain class attribute is what Tortoise reads
        ops.AddField(model_name="Job", name="live_mode", field=fields.CharField(default="paper", max_length=16)),
        ops.AddField(model_name="Job", name="live_confidence_ppm", field=fields.IntField(default=0)),
    ]
