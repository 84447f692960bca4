-- depends: 0025_copies
DROP TRIGGER judge_scopes ON identity.user_apps;
CREATE TRIGGER judge_scopes BEFORE INSERT ON identity.user_apps
    FOR EACH ROW EXECUTE FUNCTION identity.judge_scopes();
CREATE TRIGGER judge_new_scopes BEFORE UPDATE ON identity.user_apps
    FOR EACH ROW WHEN (NEW.scopes <> OLD.scopes) EXECUTE FUNCTION identity.judge_scopes();

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

ALTER TABLE identity.sessions ADD COLUMN paid_until timestamptz;
GRANT UPDATE (paid_until) ON identity.sessions TO identity_app;
COMMENT ON COLUMN identity.sessions.paid_until IS 'How much of its allowance of refreshes it has used up (GCRA).';
ALTER TABLE identity.refresh_tokens ADD COLUMN family_hash bytea;
COMMENT ON COLUMN identity.refresh_tokens.expires_at IS NULL;
COMMENT ON COLUMN identity.refresh_tokens.family_hash IS 'SHA-256 of how all tokens of the family begin: whoever presents one of which no more is kept took it from somebody, or had it taken. NULL: made by the version before.';

GRANT UPDATE (secret) ON identity.factors TO identity_app;
GRANT UPDATE (private_key) ON identity.signing_keys TO identity_platform;
COMMENT ON TABLE identity.signing_keys IS 'With which access tokens are signed: of the installation, not of a tenant. None ever changes, but for what it is sealed under.';

COMMENT ON COLUMN identity.sign_in_failures.name IS 'A user''s id, after a = where it was tried with a credential; or, where nobody has it, an HMAC of what was given as a name: people type passwords there.';
