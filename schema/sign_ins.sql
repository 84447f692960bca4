CREATE TABLE identity.sign_in_failures (
    tenant_id    text COLLATE "C" NOT NULL,
    name         text COLLATE "C" NOT NULL,
    failures     int         NOT NULL,
    failed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_until timestamptz,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT sign_in_failure_taken PRIMARY KEY (tenant_id, name),
    CONSTRAINT tenant_not_found FOREIGN KEY (tenant_id) REFERENCES identity.tenants ON DELETE CASCADE,
    CONSTRAINT failures_invalid CHECK (failures >= 1)
);
CREATE INDEX sign_in_failures_by_age ON identity.sign_in_failures (greatest(failed_at, paused_until));

ALTER TABLE identity.sign_in_failures ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.sign_in_failures FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.sign_in_failures TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.sign_in_failures TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY sweep ON identity.sign_in_failures TO identity_platform
    USING (greatest(failed_at, paused_until) < now() - interval '1 day');

CREATE TRIGGER touch BEFORE UPDATE ON identity.sign_in_failures FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT, UPDATE (failures, failed_at, paused_until), DELETE ON identity.sign_in_failures TO identity_app;
GRANT SELECT (tenant_id, name, failed_at, paused_until), UPDATE (updated_at), DELETE ON identity.sign_in_failures TO identity_platform;

COMMENT ON TABLE identity.sign_in_failures IS 'Here and not in the workers, so that the guesses that all of them took count together.';
COMMENT ON COLUMN identity.sign_in_failures.name IS 'A user''s id, after a = where it was tried with a credential; or, where nobody has it, an HMAC of what was given as a name: people type passwords there.';
COMMENT ON POLICY sweep ON identity.sign_in_failures IS 'A day is the most that a lockout''s window_s can be.';

CREATE FUNCTION identity.forget_failures() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM identity.sign_in_failures
     WHERE (tenant_id, name) IN (
           SELECT tenant_id, name FROM identity.sign_in_failures
            WHERE (tenant_id, name) IN (SELECT tenant_id, unnest(ARRAY[id, '=' || id]) FROM old_rows)
            ORDER BY tenant_id, name FOR UPDATE);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION identity.forget_failures() FROM PUBLIC;
COMMENT ON FUNCTION identity.forget_failures IS
    'Failures of a user, by either name, go with the user: no foreign key can say so, since some are nobody''s, and whoever is given the id next would have them. Of its owner, since who sweeps sees only old ones.';
CREATE TRIGGER forget_failures AFTER DELETE ON identity.users REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.forget_failures();

CREATE TABLE identity.sign_in_limits (
    subject    bytea       NOT NULL,
    paid_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT sign_in_limit_taken PRIMARY KEY (subject)
) WITH (fillfactor = 50);
CREATE INDEX sign_in_limits_by_age ON identity.sign_in_limits (paid_until);

ALTER TABLE identity.sign_in_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.sign_in_limits FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.sign_in_limits TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY platform ON identity.sign_in_limits TO identity_platform USING (true) WITH CHECK (true);

CREATE TRIGGER touch BEFORE UPDATE ON identity.sign_in_limits FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT (subject, paid_until), UPDATE (paid_until), DELETE ON identity.sign_in_limits TO identity_platform;

COMMENT ON TABLE identity.sign_in_limits IS 'How much of its allowance an address, or a tenant, has used up (GCRA). No tenant''s: an address may ask for as many tenants as it likes, also for such as there are not.';
COMMENT ON COLUMN identity.sign_in_limits.subject IS 'An HMAC: it need not be known whose it is.';
