"""The jobs database: models, migrations and the store over them."""
