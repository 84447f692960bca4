"""Multi-tenant identity and app keys on plain PostgreSQL."""

__version__ = "0.1.0"
