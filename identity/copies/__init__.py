"""Copies: a whole tenant as one file, which another installation takes in, and where its keys go on working."""

from identity.copies.exporting import Export
from identity.copies.importing import Import
from identity.copies.lines import MIN_PASSPHRASE_CHARS

__all__ = ["MIN_PASSPHRASE_CHARS", "Export", "Import"]
