"""Organisations to try things on: a small one for the first start, and any number of any size."""
