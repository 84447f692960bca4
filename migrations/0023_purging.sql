-- depends: 0022_leaving
ALTER TABLE identity.tenants ADD COLUMN purged_at timestamptz;
COMMENT ON COLUMN identity.tenants.purged_at IS 'When its purge began, which goes in steps: from then on nothing brings it back, and its row goes last.';
GRANT UPDATE (purged_at) ON identity.tenants TO identity_app;
DROP TRIGGER tombstone ON identity.tenants;
CREATE TRIGGER tombstone BEFORE UPDATE ON identity.tenants FOR EACH ROW
    WHEN (OLD.purged_at IS NOT NULL OR (OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NOT NULL AND NEW.purged_at IS NULL))
    EXECUTE FUNCTION identity.refuse_tombstone('tenant_taken');

-- Tombstones of living tenants, which the platform may see as such, and take away.
CREATE POLICY sweep ON identity.apps TO identity_platform USING (deleted_at IS NOT NULL);
GRANT SELECT (tenant_id, id, deleted_at), UPDATE (updated_at), DELETE ON identity.apps TO identity_platform;
CREATE POLICY sweep ON identity.branches TO identity_platform USING (deleted_at IS NOT NULL);
GRANT SELECT (tenant_id, app_id, id, deleted_at), UPDATE (updated_at), DELETE ON identity.branches TO identity_platform;
CREATE POLICY sweep ON identity.users TO identity_platform USING (deleted_at IS NOT NULL);
GRANT SELECT (tenant_id, id, deleted_at), UPDATE (updated_at), DELETE ON identity.users TO identity_platform;

-- A sweep locks the rows that it takes, so that it can pass over those that somebody else holds, and for that it must
-- be allowed to change something of them: what a trigger sets anyway.
GRANT UPDATE (updated_at) ON identity.sessions TO identity_platform;
GRANT UPDATE (updated_at) ON identity.refresh_tokens TO identity_platform;
GRANT UPDATE (updated_at) ON identity.password_resets TO identity_platform;
GRANT UPDATE (updated_at) ON identity.sign_in_challenges TO identity_platform;
GRANT UPDATE (updated_at) ON identity.sign_in_failures TO identity_platform;
GRANT UPDATE (updated_at) ON identity.idempotency_keys TO identity_platform;
GRANT UPDATE (updated_at) ON identity.key_usage TO identity_platform;
GRANT UPDATE (updated_at) ON identity.app_keys TO identity_platform;

CREATE POLICY purge ON identity.key_usage AS RESTRICTIVE FOR DELETE TO identity_app
    USING (EXISTS (SELECT FROM identity.tenants WHERE id = identity.current_tenant() AND purged_at IS NOT NULL));
COMMENT ON POLICY purge ON identity.key_usage IS 'What was counted stays, but for a tenant that goes.';
GRANT DELETE ON identity.key_usage TO identity_app;
