-- depends: 0015_key_leaks
ALTER TABLE identity.app_keys
    ADD COLUMN algorithm text,
    ADD COLUMN prefix_shown text,
    DROP CONSTRAINT secret_hash_invalid,
    ADD CONSTRAINT secret_hash_invalid CHECK (octet_length(secret_hash) = CASE WHEN algorithm = 'sha512' THEN 64 ELSE 32 END) NOT VALID,
    ADD CONSTRAINT algorithm_invalid CHECK (algorithm IN ('sha256', 'sha512')) NOT VALID,
    ADD CONSTRAINT prefix_shown_invalid CHECK (prefix_shown IS NULL OR (algorithm IS NOT NULL AND length(prefix_shown) BETWEEN 1 AND 16)) NOT VALID,
    ADD CONSTRAINT protected CHECK (app_id <> 'identity' OR algorithm IS NULL) NOT VALID;
GRANT SELECT (algorithm) ON identity.app_keys TO identity_verifier;

COMMENT ON COLUMN identity.app_keys.algorithm IS
    'How the hash was made of the whole text of a key that another system issued; NULL: issued here. By its id such a row is never verified, since of that text the id is no part.';
COMMENT ON COLUMN identity.app_keys.prefix_shown IS 'How an imported key begins, as far as its admins may see it: there is nothing else to know it by.';

CREATE TRIGGER gather_imported AFTER INSERT ON identity.app_keys REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('tenant_id', '''*''', 'algorithm IS NOT NULL');
COMMENT ON TRIGGER gather_imported ON identity.app_keys IS
    'The one new row that may change a verdict: a text that is known by one hash already, and now is the key of another.';
ALTER TABLE identity.app_keys ENABLE ALWAYS TRIGGER gather_imported;
