-- depends: 0030_invitations
CREATE FUNCTION identity.of_tenant(text, jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN jsonb_build_object($1, $2);
COMMENT ON FUNCTION identity.of_tenant IS
    'Metadata under the tenant''s id: a GIN index cannot hold another column without an extension, and so finds those of one tenant alone.';

CREATE POLICY reader ON identity.users FOR SELECT TO identity_reader USING (true);
GRANT SELECT ON identity.users TO identity_reader;
CREATE VIEW identity.users_of_tenant AS
SELECT tenant_id, id, username, username_canonical, email, email_canonical, full_name, status, metadata, created_at, updated_at,
       deleted_at, email_verified_at
  FROM identity.users
 WHERE tenant_id = identity.current_tenant();
COMMENT ON VIEW identity.users_of_tenant IS
    'The same wall as a plain predicate: behind a policy no index serves what is not leakproof, as JSON containment and prefixes are.';
GRANT SELECT ON identity.users_of_tenant TO identity_app;

CREATE POLICY reader ON identity.branches FOR SELECT TO identity_reader USING (true);
GRANT SELECT ON identity.branches TO identity_reader;
CREATE VIEW identity.branches_of_tenant AS
SELECT tenant_id, app_id, id, code, name, type, status, address, contact, settings, metadata, created_at, updated_at, deleted_at
  FROM identity.branches
 WHERE tenant_id = identity.current_tenant();
COMMENT ON VIEW identity.branches_of_tenant IS
    'The same wall as a plain predicate: behind a policy no index serves what is not leakproof, as JSON containment and prefixes are.';
GRANT SELECT ON identity.branches_of_tenant TO identity_app;

GRANT CREATE ON SCHEMA identity TO identity_reader;
ALTER VIEW identity.users_of_tenant OWNER TO identity_reader;
ALTER VIEW identity.branches_of_tenant OWNER TO identity_reader;
REVOKE CREATE ON SCHEMA identity FROM identity_reader;
