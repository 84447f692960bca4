CREATE TABLE identity.user_apps (
    tenant_id  text COLLATE "C" NOT NULL,
    app_id     text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    status     text        NOT NULL DEFAULT 'active',
    granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    scopes     text[]      NOT NULL DEFAULT '{}',
    CONSTRAINT already_granted PRIMARY KEY (tenant_id, app_id, user_id),
    CONSTRAINT app_not_found FOREIGN KEY (tenant_id, app_id) REFERENCES identity.apps ON DELETE CASCADE,
    CONSTRAINT user_not_found FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users ON DELETE CASCADE,
    CONSTRAINT status_invalid CHECK (status IN ('active', 'revoked')),
    CONSTRAINT revoked_at_invalid CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
);
CREATE INDEX user_apps_by_user ON identity.user_apps (tenant_id, user_id, app_id);

ALTER TABLE identity.user_apps ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.user_apps FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.user_apps TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.user_apps TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY verifier ON identity.user_apps FOR SELECT TO identity_verifier USING (true);

CREATE TRIGGER touch BEFORE UPDATE ON identity.user_apps FOR EACH ROW EXECUTE FUNCTION identity.touch();
CREATE TRIGGER parents_live AFTER INSERT ON identity.user_apps REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.parents_live(
        'apps', 'p.tenant_id = n.tenant_id AND p.id = n.app_id', 'app_not_found',
        'users', 'p.tenant_id = n.tenant_id AND p.id = n.user_id', 'user_not_found');
CREATE TRIGGER parents_live_again AFTER UPDATE ON identity.user_apps REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.parents_live(
        'apps', 'p.tenant_id = n.tenant_id AND p.id = n.app_id AND n.status = ''active''', 'app_not_found',
        'users', 'p.tenant_id = n.tenant_id AND p.id = n.user_id AND n.status = ''active''', 'user_not_found');

GRANT SELECT, INSERT, DELETE, UPDATE (status, granted_at, revoked_at, scopes) ON identity.user_apps TO identity_app;
GRANT SELECT (tenant_id, app_id, user_id, status) ON identity.user_apps TO identity_verifier;

COMMENT ON TABLE identity.user_apps IS 'Which user may use which app. Revoking keeps the row, so that it shows since when.';
COMMENT ON COLUMN identity.user_apps.scopes IS 'What this user may do in this app; of the app "identity" management scopes.';

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
