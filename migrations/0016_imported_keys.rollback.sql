-- What was imported goes with the columns that tell it from what was issued here.
DELETE FROM identity.app_keys WHERE algorithm IS NOT NULL;
DROP TRIGGER gather_imported ON identity.app_keys;
ALTER TABLE identity.app_keys
    DROP CONSTRAINT protected,
    DROP CONSTRAINT secret_hash_invalid,
    DROP COLUMN prefix_shown,
    DROP COLUMN algorithm,
    ADD CONSTRAINT secret_hash_invalid CHECK (octet_length(secret_hash) = 32);
