REVOKE SELECT (tenant_id, id, revoked_at, expires_at), DELETE ON identity.app_keys FROM identity_platform;
DROP POLICY sweep ON identity.app_keys;
DROP TABLE identity.usage_workers;
DROP TABLE identity.key_usage;
