-- depends: 0024_indexes_of_tombstones
CREATE FUNCTION identity.is_copying() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(current_setting('identity.copying', true), '') = 'on';
COMMENT ON FUNCTION identity.is_copying IS
    'Whether a tenant comes whole from another installation: what was judged there when it was given is taken as it is, tombstones with what lies under them.';

CREATE OR REPLACE FUNCTION identity.parents_live() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    found boolean;
BEGIN
    IF identity.is_copying() THEN
        RETURN NULL;
    END IF;
    FOR i IN 0 .. TG_NARGS - 1 BY 3 LOOP        -- a parent's table, how it is met, the error when it is a tombstone
        EXECUTE format('SELECT EXISTS (SELECT FROM new_rows AS n JOIN identity.%I AS p ON %s WHERE p.deleted_at IS NOT NULL)',
                       TG_ARGV[i], TG_ARGV[i + 1]) INTO found;
        IF found THEN
            RAISE foreign_key_violation USING CONSTRAINT = TG_ARGV[i + 2], MESSAGE = TG_ARGV[i] || ': a tombstone takes no children';
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION identity.judge_scopes() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    allowed jsonb;
BEGIN
    IF identity.is_copying() THEN               -- the app may have narrowed its allowed_scopes since
        RETURN NEW;
    END IF;
    IF NEW.app_id = 'identity' THEN
        IF NOT coalesce((SELECT bool_and(identity.is_management_scope(scope)) FROM unnest(NEW.scopes) AS scope), true) THEN
            RAISE check_violation USING CONSTRAINT = 'not_a_management_scope', MESSAGE = 'keys of identity carry management scopes only';
        END IF;
        RETURN NEW;
    END IF;
    SELECT settings -> 'allowed_scopes' INTO allowed FROM identity.apps WHERE tenant_id = NEW.tenant_id AND id = NEW.app_id;
    IF jsonb_array_length(coalesce(allowed, '[]')) > 0 AND EXISTS (
        SELECT FROM unnest(NEW.scopes) AS scope
         WHERE NOT EXISTS (SELECT FROM jsonb_array_elements_text(allowed) AS granted WHERE identity.covers(granted, scope)))
    THEN
        RAISE check_violation USING CONSTRAINT = 'scope_not_allowed', MESSAGE = 'the app does not allow its keys this scope';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION identity.inherit_limits() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    old record;
BEGIN
    IF identity.is_copying() THEN               -- that it has none any more is what it comes with
        RETURN NEW;
    END IF;
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

CREATE OR REPLACE FUNCTION identity.count_living() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_catalog, pg_temp AS $$
DECLARE
    moved record;
    total int;
BEGIN
    FOR moved IN EXECUTE
        'SELECT tenant_id, sum(one) AS delta FROM (' || concat_ws(' UNION ALL ',
            CASE WHEN TG_OP <> 'DELETE' THEN 'SELECT tenant_id, id, deleted_at, 1 AS one FROM new_rows' END,
            CASE WHEN TG_OP <> 'INSERT' THEN 'SELECT tenant_id, id, deleted_at, -1 AS one FROM old_rows' END)
        || ') AS row WHERE deleted_at IS NULL AND NOT ($1 = ''apps'' AND id = ''identity'')
            GROUP BY tenant_id HAVING sum(one) <> 0 ORDER BY tenant_id' USING TG_TABLE_NAME
    LOOP
        UPDATE identity.tenant_counters SET living = living + moved.delta
         WHERE tenant_id = moved.tenant_id AND noun = TG_TABLE_NAME RETURNING living INTO total;
        IF moved.delta > 0 AND NOT identity.is_copying()
           AND total > (SELECT (settings ->> ('max_' || TG_TABLE_NAME))::int FROM identity.tenants WHERE id = moved.tenant_id) THEN
            RAISE check_violation USING CONSTRAINT = TG_TABLE_NAME || '_max_reached', MESSAGE = 'the tenant has as many as it may have';
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION identity.start_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO identity.tenant_changes (tenant_id, ref, n)
    VALUES (NEW.id, NEW.ref, CASE WHEN identity.is_copying() THEN floor(extract(epoch FROM clock_timestamp()) * 1000) ELSE 0 END);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION identity.start_changes IS
    'A tenant that comes as a copy may have been here before, under the same ref, and been purged: its counter begins further on than the old one can have come, or a worker would think verdicts of then unchanged.';
