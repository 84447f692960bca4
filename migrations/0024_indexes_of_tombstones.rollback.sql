DROP INDEX CONCURRENTLY IF EXISTS identity.users_deleted;
DROP INDEX CONCURRENTLY IF EXISTS identity.branches_deleted;
DROP INDEX CONCURRENTLY IF EXISTS identity.apps_deleted;
DROP INDEX CONCURRENTLY IF EXISTS identity.tenants_deleted;
