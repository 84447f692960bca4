-- depends: 0021_factors
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
