DROP TRIGGER inherit_what_remains ON identity.app_keys;
DROP TRIGGER inherit_limits ON identity.app_keys;
DROP FUNCTION identity.inherit_what_remains();
DROP FUNCTION identity.inherit_limits();
DROP TABLE identity.key_limits;
DROP FUNCTION identity.last_refill(jsonb, timestamptz, timestamptz);
DROP FUNCTION identity.refilled(jsonb, bigint, timestamptz, timestamptz);
DROP FUNCTION identity.refills_due(jsonb, timestamptz, timestamptz);
ALTER TABLE identity.app_keys
    DROP COLUMN credits,
    DROP COLUMN rate_limits,
    DROP COLUMN allowed_ips,
    DROP COLUMN allowed_routes;
