-- transactional: false
DROP INDEX CONCURRENTLY IF EXISTS identity.app_keys_by_name;
DROP INDEX CONCURRENTLY IF EXISTS identity.branches_by_name;
DROP INDEX CONCURRENTLY IF EXISTS identity.branches_by_metadata;
DROP INDEX CONCURRENTLY IF EXISTS identity.users_by_change;
DROP INDEX CONCURRENTLY IF EXISTS identity.users_by_creation;
DROP INDEX CONCURRENTLY IF EXISTS identity.users_by_full_name;
DROP INDEX CONCURRENTLY IF EXISTS identity.users_by_metadata;
