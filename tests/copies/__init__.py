"""Copies of tenants: what goes, what arrives, and what is refused."""
