CREATE TABLE identity.factors (
    tenant_id    text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL DEFAULT identity.uuid7(),
    user_id      text COLLATE "C" NOT NULL,
    secret       bytea       NOT NULL,
    confirmed_at timestamptz,
    last_step    bigint      NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT factor_taken PRIMARY KEY (tenant_id, id),
    CONSTRAINT user_not_found FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users ON DELETE CASCADE
);
CREATE UNIQUE INDEX factors_by_user ON identity.factors (tenant_id, user_id, (confirmed_at IS NULL));

ALTER TABLE identity.factors ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.factors FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.factors TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.factors TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());

CREATE TRIGGER touch BEFORE UPDATE ON identity.factors FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT, UPDATE (confirmed_at, last_step, secret), DELETE ON identity.factors TO identity_app;

COMMENT ON TABLE identity.factors IS 'A user has at most one that is confirmed, and one that is to be: it replaces the other when it is.';
COMMENT ON COLUMN identity.factors.secret IS 'Sealed under IDENTITY_SECRET_KEY for this user: who reads the database can make no codes.';
COMMENT ON COLUMN identity.factors.last_step IS 'The time step of the last code that was taken: neither that one nor one before it is taken again.';

CREATE TABLE identity.recovery_codes (
    tenant_id  text COLLATE "C" NOT NULL,
    hash       bytea       NOT NULL,
    factor_id  text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT recovery_code_taken PRIMARY KEY (tenant_id, hash),
    CONSTRAINT factor_not_found FOREIGN KEY (tenant_id, factor_id) REFERENCES identity.factors ON DELETE CASCADE,
    CONSTRAINT hash_invalid CHECK (octet_length(hash) = 32)
);
CREATE INDEX recovery_codes_by_factor ON identity.recovery_codes (tenant_id, factor_id);

ALTER TABLE identity.recovery_codes ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.recovery_codes FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.recovery_codes TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.recovery_codes TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());

CREATE TRIGGER touch BEFORE UPDATE ON identity.recovery_codes FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT, DELETE ON identity.recovery_codes TO identity_app;

COMMENT ON TABLE identity.recovery_codes IS 'Those that are left: one that was used has no row.';
COMMENT ON COLUMN identity.recovery_codes.hash IS 'SHA-256: of 100 random bits there is nothing to guess.';

CREATE TABLE identity.sign_in_challenges (
    tenant_id           text COLLATE "C" NOT NULL,
    token_hash          bytea       NOT NULL,
    app_id              text COLLATE "C" NOT NULL,
    user_id             text COLLATE "C" NOT NULL,
    scopes              text[],
    password_changed_at timestamptz NOT NULL,
    expires_at          timestamptz NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT sign_in_challenge_taken PRIMARY KEY (tenant_id, token_hash),
    CONSTRAINT access_not_found FOREIGN KEY (tenant_id, app_id, user_id) REFERENCES identity.user_apps ON DELETE CASCADE,
    CONSTRAINT token_hash_invalid CHECK (octet_length(token_hash) = 32)
);
CREATE INDEX sign_in_challenges_by_access ON identity.sign_in_challenges (tenant_id, app_id, user_id);
CREATE INDEX sign_in_challenges_by_user ON identity.sign_in_challenges (tenant_id, user_id, token_hash);
CREATE INDEX sign_in_challenges_by_expiry ON identity.sign_in_challenges (expires_at);

ALTER TABLE identity.sign_in_challenges ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.sign_in_challenges FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.sign_in_challenges TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.sign_in_challenges TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY sweep ON identity.sign_in_challenges TO identity_platform USING (expires_at < now());

CREATE TRIGGER touch BEFORE UPDATE ON identity.sign_in_challenges FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT, UPDATE (expires_at), DELETE ON identity.sign_in_challenges TO identity_app;
GRANT SELECT (tenant_id, token_hash, expires_at), UPDATE (updated_at), DELETE ON identity.sign_in_challenges TO identity_platform;

COMMENT ON TABLE identity.sign_in_challenges IS 'Of who has given the password and is yet to give a second factor. One that was answered has no row.';
COMMENT ON COLUMN identity.sign_in_challenges.scopes IS 'What was asked for; NULL: all that is granted.';
COMMENT ON COLUMN identity.sign_in_challenges.password_changed_at IS 'Of the password that was given: with another one it is no more good.';

CREATE FUNCTION identity.end_what_waits() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM identity.factors
     WHERE tenant_id = NEW.tenant_id
       AND id IN (SELECT id FROM identity.factors
                   WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id AND confirmed_at IS NULL
                   ORDER BY id FOR UPDATE);
    DELETE FROM identity.sign_in_challenges
     WHERE tenant_id = NEW.tenant_id
       AND token_hash IN (SELECT token_hash FROM identity.sign_in_challenges
                           WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id ORDER BY token_hash FOR UPDATE);
    DELETE FROM identity.password_resets WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION identity.end_what_waits IS
    'Who is given rank is out of reach of those who may do less: also by a reset, half a sign-in or a factor to be confirmed that they came by before. A key of theirs raises nothing: no password opens it.';
CREATE TRIGGER rank_given AFTER INSERT ON identity.user_apps FOR EACH ROW
    WHEN (NEW.app_id = 'identity' AND NEW.scopes <> '{}') EXECUTE FUNCTION identity.end_what_waits();
CREATE TRIGGER rank_raised AFTER UPDATE ON identity.user_apps FOR EACH ROW
    WHEN (NEW.app_id = 'identity' AND identity.granted_scopes('identity', OLD.scopes, NEW.scopes) <> NEW.scopes)
    EXECUTE FUNCTION identity.end_what_waits();
