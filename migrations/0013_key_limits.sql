-- depends: 0011_tenant_changes
ALTER TABLE identity.app_keys
    ADD COLUMN credits        jsonb,
    ADD COLUMN rate_limits    jsonb  NOT NULL DEFAULT '[]',
    ADD COLUMN allowed_ips    text[] NOT NULL DEFAULT '{}',
    ADD COLUMN allowed_routes jsonb  NOT NULL DEFAULT '[]',
    ADD CONSTRAINT credits_invalid CHECK (jsonb_typeof(credits) = 'object' AND octet_length(credits::text) <= 200) NOT VALID,
    ADD CONSTRAINT refill_incomplete CHECK ((credits ? 'refill_amount') = (credits ? 'refill_interval_s')) NOT VALID,
    ADD CONSTRAINT rate_limits_too_many CHECK (CASE jsonb_typeof(rate_limits) WHEN 'array' THEN jsonb_array_length(rate_limits) <= 5 ELSE false END) NOT VALID,
    ADD CONSTRAINT allowed_ips_too_many CHECK (cardinality(allowed_ips) <= 100) NOT VALID,
    ADD CONSTRAINT allowed_routes_too_many CHECK (CASE jsonb_typeof(allowed_routes) WHEN 'array' THEN jsonb_array_length(allowed_routes) <= 100 ELSE false END) NOT VALID,
    ADD CONSTRAINT management_key_limited CHECK (app_id <> 'identity' OR (credits IS NULL AND rate_limits = '[]' AND cardinality(allowed_ips) = 0 AND allowed_routes = '[]')) NOT VALID;
GRANT UPDATE (credits, rate_limits, allowed_ips, allowed_routes) ON identity.app_keys TO identity_app;
GRANT SELECT (credits, rate_limits, allowed_ips, allowed_routes) ON identity.app_keys TO identity_verifier;
COMMENT ON COLUMN identity.app_keys.credits IS 'How they are refilled; NULL where it takes none. What remains moves, and so is in key_limits.';
COMMENT ON COLUMN identity.app_keys.allowed_ips IS 'Networks from which it may be used; empty: from anywhere.';

CREATE FUNCTION identity.inherit_limits() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    old record;
BEGIN
    SELECT credits, rate_limits, allowed_ips, allowed_routes INTO old
      FROM identity.app_keys WHERE tenant_id = NEW.tenant_id AND id = NEW.rotated_from;
    IF FOUND THEN
        NEW.credits := old.credits;
        NEW.rate_limits := old.rate_limits;
        NEW.allowed_ips := old.allowed_ips;
        NEW.allowed_routes := old.allowed_routes;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION identity.inherit_limits IS
    'A worker of the version before these columns rotates a key too, while a new version comes: without this its successor would have no limits.';
CREATE TRIGGER inherit_limits BEFORE INSERT ON identity.app_keys FOR EACH ROW
    WHEN (NEW.rotated_from IS NOT NULL AND NEW.credits IS NULL AND NEW.rate_limits = '[]'
          AND NEW.allowed_ips = '{}' AND NEW.allowed_routes = '[]')
    EXECUTE FUNCTION identity.inherit_limits();

CREATE FUNCTION identity.refills_due(credits jsonb, refilled_at timestamptz, at timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(greatest(floor(extract(epoch FROM at - refilled_at) / (credits ->> 'refill_interval_s')::bigint), 0), 0)::bigint;
COMMENT ON FUNCTION identity.refills_due IS
    'How many whole intervals have passed: credits are refilled when somebody looks, since a clock that refills millions of keys would write them all.';

CREATE FUNCTION identity.refilled(credits jsonb, remaining bigint, refilled_at timestamptz, at timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN least(remaining + coalesce((credits ->> 'refill_amount')::numeric, 0) * identity.refills_due(credits, refilled_at, at), 1e15)::bigint;
COMMENT ON FUNCTION identity.refilled IS 'What remains, with the refills that are due.';

CREATE FUNCTION identity.last_refill(credits jsonb, refilled_at timestamptz, at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN refilled_at + coalesce((credits ->> 'refill_interval_s')::bigint, 0) * identity.refills_due(credits, refilled_at, at) * interval '1 second';
COMMENT ON FUNCTION identity.last_refill IS 'When the last of the refills was due that refilled() counts: what has begun of the next interval is kept.';

CREATE TABLE identity.key_limits (
    tenant_id   text COLLATE "C" NOT NULL,
    key_id      text COLLATE "C" NOT NULL,
    remaining   bigint      NOT NULL DEFAULT 0,
    refilled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    counts      jsonb       NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT key_limit_taken PRIMARY KEY (tenant_id, key_id),
    CONSTRAINT key_not_found FOREIGN KEY (tenant_id, key_id) REFERENCES identity.app_keys ON DELETE CASCADE,
    CONSTRAINT credits_max_reached CHECK (remaining <= 1e15),
    CONSTRAINT remaining_invalid CHECK (remaining >= 0)
) WITH (fillfactor = 70);

ALTER TABLE identity.key_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.key_limits FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.key_limits TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.key_limits TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY verifier ON identity.key_limits TO identity_verifier USING (true) WITH CHECK (true);

CREATE TRIGGER touch BEFORE UPDATE ON identity.key_limits FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT, UPDATE (remaining, refilled_at, counts) ON identity.key_limits TO identity_app;
GRANT SELECT, UPDATE (remaining, refilled_at, counts) ON identity.key_limits TO identity_verifier;

COMMENT ON TABLE identity.key_limits IS 'What moves of a key''s limits. Apart from app_keys, so that taking moves neither updated_at nor the ETag nor the change counter.';
COMMENT ON COLUMN identity.key_limits.remaining IS 'Credits as of refilled_at; without a meaning where app_keys.credits is NULL.';
COMMENT ON COLUMN identity.key_limits.counts IS 'By rate limit and window what was taken in each slot, a twentieth of the window: {"minute 60": {"89012345": 7}}.';

CREATE FUNCTION identity.inherit_what_remains() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO identity.key_limits (tenant_id, key_id, remaining, refilled_at, counts)
    SELECT tenant_id, NEW.id, remaining, refilled_at, counts
      FROM identity.key_limits WHERE tenant_id = NEW.tenant_id AND key_id = NEW.rotated_from
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION identity.inherit_what_remains IS
    'Of a key that such a worker rotates. A key that has limits and no row here would pass for free.';
CREATE TRIGGER inherit_what_remains AFTER INSERT ON identity.app_keys FOR EACH ROW
    WHEN (NEW.rotated_from IS NOT NULL AND (NEW.credits IS NOT NULL OR NEW.rate_limits <> '[]'))
    EXECUTE FUNCTION identity.inherit_what_remains();
