"""`python -m identity` is `identity`."""

from identity.cli import app

app()
