COMMENT ON COLUMN identity.app_keys.rotated_from IS
    'The key it succeeded. No foreign key: a swept predecessor must not take its successor along. Unique among the living, so that undoing a rotation leaves a way on.';
DROP INDEX CONCURRENTLY IF EXISTS identity.app_keys_by_rotation;
