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
    paid_until   timestamptz,
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

GRANT SELECT, INSERT, UPDATE (last_used_at, expires_at, paid_until), DELETE ON identity.sessions TO identity_app;
GRANT SELECT (tenant_id, id, expires_at), UPDATE (updated_at), DELETE ON identity.sessions TO identity_platform;

COMMENT ON TABLE identity.sessions IS 'Who is signed in where. A session that has ended has no row: so nothing brings it back, and its refresh tokens go with it.';
COMMENT ON COLUMN identity.sessions.scopes IS 'What was asked for when it began; a token carries what of it is still granted.';
COMMENT ON COLUMN identity.sessions.expires_at IS 'When it ends unless it is refreshed before.';
COMMENT ON COLUMN identity.sessions.ends_at IS 'When it ends however much it is used.';
COMMENT ON COLUMN identity.sessions.paid_until IS 'How much of its allowance of refreshes it has used up (GCRA).';

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
    family_hash    bytea,
    CONSTRAINT refresh_token_taken PRIMARY KEY (tenant_id, hash),
    CONSTRAINT session_not_found FOREIGN KEY (tenant_id, session_id) REFERENCES identity.sessions ON DELETE CASCADE,
    CONSTRAINT hash_invalid CHECK (octet_length(hash) = 32),
    CONSTRAINT successor_missing CHECK ((consumed_at IS NULL) = (successor_hash IS NULL) AND (consumed_at IS NULL) = (successor IS NULL))
);
CREATE INDEX refresh_tokens_by_session ON identity.refresh_tokens (tenant_id, session_id);
CREATE INDEX refresh_tokens_by_family ON identity.refresh_tokens (tenant_id, family_hash) WHERE family_hash IS NOT NULL;
CREATE INDEX refresh_tokens_by_expiry ON identity.refresh_tokens (expires_at);

ALTER TABLE identity.refresh_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.refresh_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.refresh_tokens TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.refresh_tokens TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY sweep ON identity.refresh_tokens TO identity_platform USING (expires_at < now());

CREATE TRIGGER touch BEFORE UPDATE ON identity.refresh_tokens FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT, UPDATE (consumed_at, successor_hash, successor), DELETE ON identity.refresh_tokens TO identity_app;
GRANT SELECT (tenant_id, hash, expires_at), UPDATE (updated_at), DELETE ON identity.refresh_tokens TO identity_platform;

COMMENT ON TABLE identity.refresh_tokens IS 'Those of one session are a family: each is good once, and then has one successor.';
COMMENT ON COLUMN identity.refresh_tokens.hash IS 'SHA-256: of 256 random bits there is nothing to guess.';
COMMENT ON COLUMN identity.refresh_tokens.family_hash IS 'SHA-256 of how all tokens of the family begin: whoever presents one of which no more is kept took it from somebody, or had it taken. NULL: made by the version before.';
COMMENT ON COLUMN identity.refresh_tokens.successor IS 'Its text, sealed under the text of this one, for the retry of whoever lost the answer; who reads the database has neither.';

CREATE FUNCTION identity.refresh_session(
    of_tenant text, of_app text, presented bytea, family bytea, next_hash bytea, next_sealed bytea,
    every_s float8, idle_s int, refresh_token_s int, default_access_token_s int)
RETURNS TABLE (tenant_id text, session_id text, app_id text, user_id text, scopes text[], access_token_s int, expires_at timestamptz)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    every interval := make_interval(secs => every_s);
    live record;
BEGIN
    SELECT s.id, s.user_id,
           CASE WHEN s.scopes <@ access.scopes THEN s.scopes
                ELSE identity.granted_scopes(s.app_id, access.scopes, s.scopes) END AS scopes,
           coalesce((a.settings ->> 'access_token_s')::int, default_access_token_s) AS access_token_s,
           least(s.ends_at, clock_timestamp() + make_interval(secs => least(
               coalesce((t.settings ->> 'session_idle_s')::int, idle_s),
               coalesce((a.settings ->> 'refresh_token_s')::int, refresh_token_s)))) AS expires_at
      INTO live
      FROM identity.refresh_tokens AS token
      JOIN identity.sessions AS s ON s.tenant_id = of_tenant AND s.id = token.session_id AND s.app_id = of_app
      JOIN identity.tenants AS t ON t.id = of_tenant AND t.status = 'active' AND t.deleted_at IS NULL
      JOIN identity.apps AS a ON a.tenant_id = of_tenant AND a.id = s.app_id
           AND a.status = 'active' AND a.deleted_at IS NULL
      JOIN identity.users AS u ON u.tenant_id = of_tenant AND u.id = s.user_id
           AND u.status = 'active' AND u.deleted_at IS NULL
      JOIN identity.user_apps AS access ON access.tenant_id = of_tenant AND access.app_id = s.app_id
           AND access.user_id = s.user_id AND access.status = 'active'
     WHERE token.tenant_id = of_tenant AND token.hash = presented AND token.expires_at > clock_timestamp()
       AND s.expires_at > clock_timestamp()
       AND (s.paid_until IS NULL OR s.paid_until <= clock_timestamp() + interval '60 s' - every)
       FOR NO KEY UPDATE OF s;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE identity.refresh_tokens AS token
       SET consumed_at = clock_timestamp(), successor_hash = next_hash, successor = next_sealed
     WHERE token.tenant_id = of_tenant AND token.hash = presented AND token.consumed_at IS NULL;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE identity.sessions AS session
       SET last_used_at = clock_timestamp(), expires_at = live.expires_at,
           paid_until = greatest(paid_until, clock_timestamp()) + every
     WHERE session.tenant_id = of_tenant AND session.id = live.id;
    DELETE FROM identity.refresh_tokens AS old
     WHERE old.tenant_id = of_tenant AND old.session_id = live.id AND old.family_hash = family AND old.hash <> presented;
    INSERT INTO identity.refresh_tokens (tenant_id, hash, family_hash, session_id, expires_at)
    VALUES (of_tenant, next_hash, family, live.id, live.expires_at);
    RETURN QUERY SELECT of_tenant, live.id, of_app, live.user_id, live.scopes, live.access_token_s, live.expires_at;
END $$;
COMMENT ON FUNCTION identity.refresh_session IS
    'A function, since each connection keeps the plans of its statements: to plan them anew took longer than to run them. The session is held first, and its tokens after it, as whoever ends it takes them: the other way round the two would deadlock. Of many who come with one token the first consumes it, and the others find it consumed. The one before it nobody need find any more: it is known by its family.';

CREATE FUNCTION identity.end_sessions_of_user() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM identity.sessions
     WHERE tenant_id = NEW.tenant_id
       AND id IN (SELECT id FROM identity.sessions
                   WHERE tenant_id = NEW.tenant_id AND user_id = NEW.id ORDER BY id FOR UPDATE);
    DELETE FROM identity.sign_in_challenges
     WHERE tenant_id = NEW.tenant_id
       AND token_hash IN (SELECT token_hash FROM identity.sign_in_challenges
                           WHERE tenant_id = NEW.tenant_id AND user_id = NEW.id ORDER BY token_hash FOR UPDATE);
    DELETE FROM identity.password_resets WHERE tenant_id = NEW.tenant_id AND user_id = NEW.id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION identity.end_sessions_of_user IS
    'Who leaves is signed in nowhere any more, whichever statement says so; and comes back to no session, nor by half a sign-in or a reset that was made before. A statement of its own, so it also sees the session of a sign-in for which the change had to wait.';
CREATE TRIGGER end_sessions AFTER UPDATE ON identity.users FOR EACH ROW
    WHEN ((NEW.status = 'suspended' AND OLD.status <> 'suspended') OR (NEW.deleted_at IS NOT NULL AND OLD.deleted_at IS NULL))
    EXECUTE FUNCTION identity.end_sessions_of_user();

CREATE FUNCTION identity.end_sessions_of_access() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM identity.sessions
     WHERE tenant_id = NEW.tenant_id
       AND id IN (SELECT id FROM identity.sessions
                   WHERE tenant_id = NEW.tenant_id AND app_id = NEW.app_id AND user_id = NEW.user_id
                   ORDER BY id FOR UPDATE);
    DELETE FROM identity.sign_in_challenges
     WHERE tenant_id = NEW.tenant_id
       AND token_hash IN (SELECT token_hash FROM identity.sign_in_challenges
                           WHERE tenant_id = NEW.tenant_id AND app_id = NEW.app_id AND user_id = NEW.user_id
                           ORDER BY token_hash FOR UPDATE);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION identity.end_sessions_of_access IS 'Likewise who may not use an app any more, in that app.';
CREATE TRIGGER end_sessions AFTER UPDATE ON identity.user_apps FOR EACH ROW
    WHEN (NEW.status = 'revoked' AND OLD.status <> 'revoked') EXECUTE FUNCTION identity.end_sessions_of_access();
