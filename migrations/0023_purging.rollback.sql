-- Of these half may be gone, and nothing would keep an older version from restoring the rest.
DELETE FROM identity.tenants WHERE purged_at IS NOT NULL;
REVOKE DELETE ON identity.key_usage FROM identity_app;
DROP POLICY purge ON identity.key_usage;
REVOKE UPDATE (updated_at) ON identity.app_keys FROM identity_platform;
REVOKE UPDATE (updated_at) ON identity.key_usage FROM identity_platform;
REVOKE UPDATE (updated_at) ON identity.idempotency_keys FROM identity_platform;
REVOKE UPDATE (updated_at) ON identity.sign_in_failures FROM identity_platform;
REVOKE UPDATE (updated_at) ON identity.sign_in_challenges FROM identity_platform;
REVOKE UPDATE (updated_at) ON identity.password_resets FROM identity_platform;
REVOKE UPDATE (updated_at) ON identity.refresh_tokens FROM identity_platform;
REVOKE UPDATE (updated_at) ON identity.sessions FROM identity_platform;
REVOKE SELECT (tenant_id, id, deleted_at), UPDATE (updated_at), DELETE ON identity.users FROM identity_platform;
DROP POLICY sweep ON identity.users;
REVOKE SELECT (tenant_id, app_id, id, deleted_at), UPDATE (updated_at), DELETE ON identity.branches FROM identity_platform;
DROP POLICY sweep ON identity.branches;
REVOKE SELECT (tenant_id, id, deleted_at), UPDATE (updated_at), DELETE ON identity.apps FROM identity_platform;
DROP POLICY sweep ON identity.apps;
DROP TRIGGER tombstone ON identity.tenants;
CREATE TRIGGER tombstone BEFORE UPDATE ON identity.tenants FOR EACH ROW
    WHEN (OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION identity.refuse_tombstone('tenant_taken');
ALTER TABLE identity.tenants DROP COLUMN purged_at;
