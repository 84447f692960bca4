DROP TABLE identity.key_leaks;
