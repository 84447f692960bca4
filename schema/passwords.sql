CREATE TABLE identity.passwords (
    tenant_id  text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    hash       text        NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT password_taken PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT user_not_found FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users ON DELETE CASCADE,
    CONSTRAINT hash_invalid CHECK (length(hash) BETWEEN 1 AND 500)
);

ALTER TABLE identity.passwords ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.passwords FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.passwords TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.passwords TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());

CREATE TRIGGER touch BEFORE UPDATE ON identity.passwords FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT, UPDATE (hash, changed_at), DELETE ON identity.passwords TO identity_app;

COMMENT ON TABLE identity.passwords IS 'Apart from users, so that a password moves neither their updated_at nor their ETag, and no statement about users can show one.';
COMMENT ON COLUMN identity.passwords.changed_at IS 'By which a sign-in knows that the password it checked is still the one; hashing it anew with other parameters does not move it.';

CREATE TABLE identity.password_resets (
    tenant_id       text COLLATE "C" NOT NULL,
    user_id         text COLLATE "C" NOT NULL,
    token_hash      bytea       NOT NULL,
    email_canonical text COLLATE "C",
    expires_at      timestamptz NOT NULL DEFAULT clock_timestamp() + interval '1 hour',
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT password_reset_taken PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT token_hash_taken UNIQUE (tenant_id, token_hash),
    CONSTRAINT user_not_found FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users ON DELETE CASCADE,
    CONSTRAINT token_hash_invalid CHECK (octet_length(token_hash) = 32)
);
CREATE INDEX password_resets_by_expiry ON identity.password_resets (expires_at);

ALTER TABLE identity.password_resets ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.password_resets FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.password_resets TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.password_resets TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY sweep ON identity.password_resets TO identity_platform USING (expires_at < now());

CREATE TRIGGER touch BEFORE UPDATE ON identity.password_resets FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT, UPDATE (token_hash, email_canonical, expires_at), DELETE ON identity.password_resets TO identity_app;
GRANT SELECT (tenant_id, user_id, expires_at), UPDATE (updated_at), DELETE ON identity.password_resets TO identity_platform;

COMMENT ON TABLE identity.password_resets IS 'One a user: the newest token is the only one that is good.';
COMMENT ON COLUMN identity.password_resets.email_canonical IS 'Where it was made to be sent there: whoever has it receives what is sent there.';
