CREATE TABLE identity.signing_keys (
    id          text COLLATE "C" NOT NULL,
    public_key  jsonb       NOT NULL,
    private_key bytea       NOT NULL,
    starts_at   timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT signing_key_taken PRIMARY KEY (id)
);

ALTER TABLE identity.signing_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.signing_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.signing_keys TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY platform ON identity.signing_keys TO identity_platform USING (true) WITH CHECK (true);

CREATE TRIGGER touch BEFORE UPDATE ON identity.signing_keys FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT (id, public_key, private_key, starts_at), DELETE, UPDATE (private_key) ON identity.signing_keys TO identity_platform;

COMMENT ON TABLE identity.signing_keys IS 'With which access tokens are signed: of the installation, not of a tenant. None ever changes, but for what it is sealed under.';
COMMENT ON COLUMN identity.signing_keys.id IS 'Its thumbprint (RFC 7638), which tokens name as kid.';
COMMENT ON COLUMN identity.signing_keys.public_key IS 'A JWK, as all the world may have it.';
COMMENT ON COLUMN identity.signing_keys.private_key IS 'AES-256-GCM under a key from IDENTITY_SECRET_KEY: whoever reads the database, or a backup of it, signs nothing.';
COMMENT ON COLUMN identity.signing_keys.starts_at IS 'It is published before, so that whoever checks tokens knows it; the last one that has started signs.';
