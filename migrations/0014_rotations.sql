-- depends: 0011_tenant_changes
-- transactional: false
CREATE INDEX CONCURRENTLY IF NOT EXISTS app_keys_by_rotation ON identity.app_keys (tenant_id, rotated_from) WHERE rotated_from IS NOT NULL;
COMMENT ON COLUMN identity.app_keys.rotated_from IS
    'The key it succeeded. No foreign key: a swept predecessor must not take its successor along. Unique among the living, so that undoing a rotation leaves a way on. By it the old key finds those that succeeded it, the revoked ones too.';
