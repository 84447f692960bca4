DROP INDEX CONCURRENTLY IF EXISTS identity.imported_key_taken;
DROP INDEX CONCURRENTLY IF EXISTS identity.app_keys_by_death;
