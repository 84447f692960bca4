-- depends: 0031_finding
-- transactional: false
CREATE INDEX CONCURRENTLY IF NOT EXISTS users_by_metadata ON identity.users USING gin (identity.of_tenant(tenant_id, metadata) jsonb_path_ops);
CREATE INDEX CONCURRENTLY IF NOT EXISTS users_by_full_name ON identity.users (tenant_id, full_name COLLATE "C", id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS users_by_creation ON identity.users (tenant_id, created_at, id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS users_by_change ON identity.users (tenant_id, updated_at, id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS branches_by_metadata ON identity.branches USING gin (identity.of_tenant(tenant_id, metadata) jsonb_path_ops);
CREATE INDEX CONCURRENTLY IF NOT EXISTS branches_by_name ON identity.branches (tenant_id, app_id, name COLLATE "C", id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS app_keys_by_name ON identity.app_keys (tenant_id, name COLLATE "C", id);
