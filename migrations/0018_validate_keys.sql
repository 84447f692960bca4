-- depends: 0017_indexes_of_keys
-- Not in 0013 and 0016, where every look-up would wait while all keys are read.
ALTER TABLE identity.app_keys
    VALIDATE CONSTRAINT credits_invalid,
    VALIDATE CONSTRAINT refill_incomplete,
    VALIDATE CONSTRAINT rate_limits_too_many,
    VALIDATE CONSTRAINT allowed_ips_too_many,
    VALIDATE CONSTRAINT allowed_routes_too_many,
    VALIDATE CONSTRAINT management_key_limited,
    VALIDATE CONSTRAINT secret_hash_invalid,
    VALIDATE CONSTRAINT algorithm_invalid,
    VALIDATE CONSTRAINT prefix_shown_invalid,
    VALIDATE CONSTRAINT protected;
