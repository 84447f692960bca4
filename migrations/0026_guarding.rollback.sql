COMMENT ON COLUMN identity.sign_in_failures.name IS 'A user''s id; or, where nobody has it, an HMAC of what was given as a name: people type passwords there.';

COMMENT ON TABLE identity.signing_keys IS 'With which access tokens are signed: of the installation, not of a tenant. None ever changes.';
REVOKE UPDATE (private_key) ON identity.signing_keys FROM identity_platform;
REVOKE UPDATE (secret) ON identity.factors FROM identity_app;

COMMENT ON COLUMN identity.refresh_tokens.expires_at IS 'A consumed one is kept as long: whoever presents it until then took it from somebody, or had it taken.';
ALTER TABLE identity.refresh_tokens DROP COLUMN family_hash;
ALTER TABLE identity.sessions DROP COLUMN paid_until;

DROP TRIGGER rank_raised ON identity.user_apps;
DROP TRIGGER rank_given ON identity.user_apps;
DROP FUNCTION identity.end_what_waits;

DROP TRIGGER judge_new_scopes ON identity.user_apps;
DROP TRIGGER judge_scopes ON identity.user_apps;
CREATE TRIGGER judge_scopes BEFORE INSERT OR UPDATE OF scopes ON identity.user_apps FOR EACH ROW
    EXECUTE FUNCTION identity.judge_scopes();
