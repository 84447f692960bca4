DROP VIEW identity.branches_of_tenant;
DROP VIEW identity.users_of_tenant;
REVOKE SELECT ON identity.branches, identity.users FROM identity_reader;
DROP POLICY reader ON identity.branches;
DROP POLICY reader ON identity.users;
DROP FUNCTION identity.of_tenant;
