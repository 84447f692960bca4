-- depends: 0019_signing_keys
ALTER TABLE identity.users ADD COLUMN email_verified_at timestamptz;
GRANT UPDATE (email_verified_at) ON identity.users TO identity_app;
COMMENT ON COLUMN identity.users.email_verified_at IS 'When somebody proved to receive what is sent there; another address is not proved.';

CREATE FUNCTION identity.unverify_email() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.email_verified_at := NULL;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION identity.unverify_email IS 'Whichever statement changes the address: that the old one was proved says nothing of the new one.';
CREATE TRIGGER unverify_email BEFORE UPDATE ON identity.users FOR EACH ROW
    WHEN (OLD.email_canonical IS DISTINCT FROM NEW.email_canonical) EXECUTE FUNCTION identity.unverify_email();

ALTER TABLE identity.user_apps ADD COLUMN scopes text[] NOT NULL DEFAULT '{}';
GRANT UPDATE (scopes) ON identity.user_apps TO identity_app;
COMMENT ON COLUMN identity.user_apps.scopes IS 'What this user may do in this app; of the app "identity" management scopes.';
CREATE TRIGGER judge_scopes BEFORE INSERT OR UPDATE OF scopes ON identity.user_apps FOR EACH ROW
    EXECUTE FUNCTION identity.judge_scopes();

CREATE FUNCTION identity.granted_scopes(app_id text, granted text[], asked text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN asked IS NULL THEN granted ELSE ARRAY(
    SELECT scope FROM unnest(asked) WITH ORDINALITY AS each (scope, place)
     WHERE EXISTS (SELECT FROM unnest(granted) AS held
                    WHERE identity.covers(held, scope)
                       OR (app_id = 'identity' AND (scope = replace(held, ':write', ':read')
                                                    OR (held = 'keys:verify' AND starts_with(scope, 'keys:verify/')))))
     ORDER BY place) END;
COMMENT ON FUNCTION identity.granted_scopes IS
    'Of what was asked what is granted, now: so that a scope that was taken away is gone from the next token on. Asked for nothing in particular: everything.';

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
GRANT SELECT (tenant_id, user_id, expires_at), DELETE ON identity.password_resets TO identity_platform;

COMMENT ON TABLE identity.password_resets IS 'One a user: the newest token is the only one that is good.';
COMMENT ON COLUMN identity.password_resets.email_canonical IS 'Where it was made to be sent there: whoever has it receives what is sent there.';

CREATE TABLE identity.last_logins (
    tenant_id     text COLLATE "C" NOT NULL,
    user_id       text COLLATE "C" NOT NULL,
    last_login_at timestamptz NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT last_login_taken PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT user_not_found FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users ON DELETE CASCADE
);

ALTER TABLE identity.last_logins ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.last_logins FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.last_logins TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.last_logins TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());

CREATE TRIGGER touch BEFORE UPDATE ON identity.last_logins FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT, UPDATE (last_login_at), DELETE ON identity.last_logins TO identity_app;

COMMENT ON TABLE identity.last_logins IS 'Apart from users, so that a sign-in moves neither their updated_at nor their ETag.';

CREATE TABLE identity.sessions (
    tenant_id    text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL DEFAULT identity.uuid7(),
    app_id       text COLLATE "C" NOT NULL,
    user_id      text COLLATE "C" NOT NULL,
    scopes       text[]      NOT NULL,
    address      text        NOT NULL,
    user_agent   text        NOT NULL,
    last_used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT session_taken PRIMARY KEY (tenant_id, id),
    CONSTRAINT access_not_found FOREIGN KEY (tenant_id, app_id, user_id) REFERENCES identity.user_apps ON DELETE CASCADE,
    CONSTRAINT address_invalid CHECK (length(address) <= 100),
    CONSTRAINT user_agent_invalid CHECK (length(user_agent) <= 500)
) WITH (fillfactor = 80);
CREATE INDEX sessions_by_access ON identity.sessions (tenant_id, app_id, user_id);
CREATE INDEX sessions_by_user ON identity.sessions (tenant_id, user_id, id);
CREATE INDEX sessions_by_expiry ON identity.sessions (expires_at);

ALTER TABLE identity.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.sessions TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.sessions TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY sweep ON identity.sessions TO identity_platform USING (expires_at < now());

CREATE TRIGGER touch BEFORE UPDATE ON identity.sessions FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT, UPDATE (last_used_at, expires_at), DELETE ON identity.sessions TO identity_app;
GRANT SELECT (tenant_id, id, expires_at), DELETE ON identity.sessions TO identity_platform;

COMMENT ON TABLE identity.sessions IS 'Who is signed in where. A session that has ended has no row: so nothing brings it back, and its refresh tokens go with it.';
COMMENT ON COLUMN identity.sessions.scopes IS 'What was asked for when it began; a token carries what of it is still granted.';
COMMENT ON COLUMN identity.sessions.expires_at IS 'When it ends unless it is refreshed before.';
COMMENT ON COLUMN identity.sessions.ends_at IS 'When it ends however much it is used.';

CREATE TABLE identity.refresh_tokens (
    tenant_id      text COLLATE "C" NOT NULL,
    hash           bytea       NOT NULL,
    session_id     text COLLATE "C" NOT NULL,
    expires_at     timestamptz NOT NULL,
    consumed_at    timestamptz,
    successor_hash bytea,
    successor      bytea,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT refresh_token_taken PRIMARY KEY (tenant_id, hash),
    CONSTRAINT session_not_found FOREIGN KEY (tenant_id, session_id) REFERENCES identity.sessions ON DELETE CASCADE,
    CONSTRAINT hash_invalid CHECK (octet_length(hash) = 32),
    CONSTRAINT successor_missing CHECK ((consumed_at IS NULL) = (successor_hash IS NULL) AND (consumed_at IS NULL) = (successor IS NULL))
);
CREATE INDEX refresh_tokens_by_session ON identity.refresh_tokens (tenant_id, session_id);
CREATE INDEX refresh_tokens_by_expiry ON identity.refresh_tokens (expires_at);

ALTER TABLE identity.refresh_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.refresh_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.refresh_tokens TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.refresh_tokens TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY sweep ON identity.refresh_tokens TO identity_platform USING (expires_at < now());

CREATE TRIGGER touch BEFORE UPDATE ON identity.refresh_tokens FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT, UPDATE (consumed_at, successor_hash, successor), DELETE ON identity.refresh_tokens TO identity_app;
GRANT SELECT (tenant_id, hash, expires_at), DELETE ON identity.refresh_tokens TO identity_platform;

COMMENT ON TABLE identity.refresh_tokens IS 'Those of one session are a family: each is good once, and then has one successor.';
COMMENT ON COLUMN identity.refresh_tokens.hash IS 'SHA-256: of 256 random bits there is nothing to guess.';
COMMENT ON COLUMN identity.refresh_tokens.expires_at IS 'A consumed one is kept as long: whoever presents it until then took it from somebody, or had it taken.';
COMMENT ON COLUMN identity.refresh_tokens.successor IS 'Its text, sealed under the text of this one, for the retry of whoever lost the answer; who reads the database has neither.';

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
GRANT SELECT (tenant_id, name, failed_at, paused_until), DELETE ON identity.sign_in_failures TO identity_platform;

COMMENT ON TABLE identity.sign_in_failures IS 'Here and not in the workers, so that the guesses that all of them took count together.';
COMMENT ON COLUMN identity.sign_in_failures.name IS 'A user''s id; or, where nobody has it, an HMAC of what was given as a name: people type passwords there.';
COMMENT ON POLICY sweep ON identity.sign_in_failures IS 'A day is the most that a lockout''s window_s can be.';

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
