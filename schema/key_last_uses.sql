CREATE TABLE identity.key_last_uses (
    tenant_id    text COLLATE "C" NOT NULL,
    key_id       text COLLATE "C" NOT NULL,
    last_used_at timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT key_last_use_taken PRIMARY KEY (tenant_id, key_id),
    CONSTRAINT key_not_found FOREIGN KEY (tenant_id, key_id) REFERENCES identity.app_keys ON DELETE CASCADE
);

ALTER TABLE identity.key_last_uses ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.key_last_uses FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.key_last_uses TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.key_last_uses TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY verifier ON identity.key_last_uses TO identity_verifier USING (true) WITH CHECK (true);

CREATE TRIGGER touch BEFORE UPDATE ON identity.key_last_uses FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT ON identity.key_last_uses TO identity_app;
GRANT SELECT, INSERT, UPDATE (last_used_at) ON identity.key_last_uses TO identity_verifier;

COMMENT ON TABLE identity.key_last_uses IS 'Apart from app_keys, so that use moves neither updated_at nor the ETag.';
