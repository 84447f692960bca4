-- depends: 0023_purging
-- transactional: false
CREATE INDEX CONCURRENTLY IF NOT EXISTS tenants_deleted ON identity.tenants (id) WHERE deleted_at IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS apps_deleted ON identity.apps (tenant_id, deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS branches_deleted ON identity.branches (tenant_id, deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS users_deleted ON identity.users (tenant_id, deleted_at) WHERE deleted_at IS NOT NULL;
