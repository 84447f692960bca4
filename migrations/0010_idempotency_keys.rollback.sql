DROP TABLE identity.idempotency_keys;
