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
