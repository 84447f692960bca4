DROP TABLE identity.key_last_uses;
