"""Multi-tenant identity and app keys on plain PostgreSQL."""
