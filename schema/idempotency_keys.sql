CREATE TABLE identity.idempotency_keys (
    tenant_id    text COLLATE "C" NOT NULL,
    caller       text COLLATE "C" NOT NULL,
    id           bytea       NOT NULL,
    request_hash bytea       NOT NULL,
    status       int         NOT NULL,
    answer       bytea       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT idempotency_key_taken PRIMARY KEY (tenant_id, caller, id),
    CONSTRAINT tenant_not_found FOREIGN KEY (tenant_id) REFERENCES identity.tenants ON DELETE CASCADE
);
CREATE INDEX idempotency_keys_by_age ON identity.idempotency_keys (created_at);

ALTER TABLE identity.idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.idempotency_keys TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.idempotency_keys TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY sweep ON identity.idempotency_keys TO identity_platform
    USING (created_at < now() - interval '24 hours');

CREATE TRIGGER touch BEFORE UPDATE ON identity.idempotency_keys FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT ON identity.idempotency_keys TO identity_app;
GRANT SELECT (tenant_id, caller, id, created_at), UPDATE (updated_at), DELETE ON identity.idempotency_keys TO identity_platform;

COMMENT ON TABLE identity.idempotency_keys IS 'Answers kept for 24 hours, so that a POST that makes something can be sent again. What was made and its row are committed together.';
COMMENT ON COLUMN identity.idempotency_keys.id IS 'HMAC of caller, method and path under the Idempotency-Key, which itself is not stored.';
COMMENT ON COLUMN identity.idempotency_keys.request_hash IS 'HMAC of the body, likewise: another body under the same key is refused.';
COMMENT ON COLUMN identity.idempotency_keys.answer IS 'AES-256-GCM under a key from IDENTITY_SECRET_KEY and the Idempotency-Key: it may hold the text of a key, and whoever reads the database, even with the former, must not open it.';
