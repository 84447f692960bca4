-- transactional: false
DROP INDEX CONCURRENTLY IF EXISTS identity.refresh_tokens_by_family;
