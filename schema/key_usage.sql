CREATE TABLE identity.key_usage (
    tenant_id  text COLLATE "C" NOT NULL,
    key_id     text COLLATE "C" NOT NULL,
    hour       timestamptz NOT NULL,
    code       text COLLATE "C" NOT NULL,
    count      bigint      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT key_usage_taken PRIMARY KEY (tenant_id, key_id, hour, code),
    CONSTRAINT key_not_found FOREIGN KEY (tenant_id, key_id) REFERENCES identity.app_keys ON DELETE CASCADE
) WITH (fillfactor = 60);
CREATE INDEX key_usage_by_hour ON identity.key_usage (tenant_id, hour);

ALTER TABLE identity.key_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.key_usage FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.key_usage TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.key_usage TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY purge ON identity.key_usage AS RESTRICTIVE FOR DELETE TO identity_app
    USING (EXISTS (SELECT FROM identity.tenants WHERE id = identity.current_tenant() AND purged_at IS NOT NULL));
CREATE POLICY verifier ON identity.key_usage TO identity_verifier USING (true) WITH CHECK (true);
CREATE POLICY sweep ON identity.key_usage TO identity_platform USING (hour < now() - interval '1 day');

CREATE TRIGGER touch BEFORE UPDATE ON identity.key_usage FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, DELETE ON identity.key_usage TO identity_app;
GRANT SELECT (tenant_id, key_id, hour, code, count), INSERT (tenant_id, key_id, hour, code, count), UPDATE (count)
    ON identity.key_usage TO identity_verifier;
GRANT SELECT (tenant_id, key_id, hour, code), UPDATE (updated_at), DELETE ON identity.key_usage TO identity_platform;

COMMENT ON TABLE identity.key_usage IS 'How often a key was verified in an hour, by what came of it. It goes with its key. Pages are left room, so that a count that rises each second moves no index.';
COMMENT ON COLUMN identity.key_usage.hour IS 'When it began.';
COMMENT ON INDEX identity.key_usage_by_hour IS 'For a whole tenant''s use, and for what is old enough to go.';
COMMENT ON POLICY purge ON identity.key_usage IS 'What was counted stays, but for a tenant that goes.';
COMMENT ON POLICY sweep ON identity.key_usage IS 'A day is the least that a tenant''s usage_days can be.';

CREATE TABLE identity.usage_workers (
    id         text COLLATE "C" NOT NULL,
    sequence   bigint      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT usage_worker_taken PRIMARY KEY (id)
);

ALTER TABLE identity.usage_workers ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.usage_workers FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.usage_workers TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY verifier ON identity.usage_workers TO identity_verifier USING (true) WITH CHECK (true);

CREATE TRIGGER touch BEFORE UPDATE ON identity.usage_workers FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT (id, sequence), UPDATE (sequence), DELETE ON identity.usage_workers TO identity_verifier;

COMMENT ON TABLE identity.usage_workers IS 'Which counts of each worker are in, moved in the statement that adds them: so a worker that did not hear whether it was done may send them again.';
COMMENT ON COLUMN identity.usage_workers.sequence IS 'Of the last that is in.';
