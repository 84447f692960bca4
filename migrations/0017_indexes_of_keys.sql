-- depends: 0016_imported_keys
-- transactional: false
CREATE INDEX CONCURRENTLY IF NOT EXISTS app_keys_by_death ON identity.app_keys (tenant_id, least(revoked_at, expires_at))
    WHERE least(revoked_at, expires_at) IS NOT NULL;
COMMENT ON INDEX identity.app_keys_by_death IS 'For keys that have been dead for so long that they go.';
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS imported_key_taken ON identity.app_keys (tenant_id, algorithm, secret_hash) WHERE algorithm IS NOT NULL;
