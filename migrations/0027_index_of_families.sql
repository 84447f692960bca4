-- depends: 0026_guarding
-- transactional: false
CREATE INDEX CONCURRENTLY IF NOT EXISTS refresh_tokens_by_family ON identity.refresh_tokens (tenant_id, family_hash) WHERE family_hash IS NOT NULL;
