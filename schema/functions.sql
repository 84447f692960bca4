CREATE FUNCTION identity.current_tenant() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('identity.tenant_id', true), '');
COMMENT ON FUNCTION identity.current_tenant IS
    'The tenant in whose scope the statement runs. Unset is NULL the first time and empty after a transaction has set it; both match no row.';

CREATE FUNCTION identity.touch() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION identity.touch IS
    'Moves updated_at, and so the ETag. now() would stand still inside a transaction, and two updates in it would look like one.';

CREATE FUNCTION identity.merge_patch(target jsonb, patch jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF patch IS NULL THEN
        RETURN target;
    ELSIF patch = 'null' THEN
        RETURN '{}';
    ELSIF jsonb_typeof(patch) <> 'object' THEN
        RETURN patch;
    ELSIF target IS NULL OR jsonb_typeof(target) <> 'object' THEN
        target := '{}';
    END IF;
    RETURN coalesce((
        SELECT jsonb_object_agg(key, value)
          FROM (SELECT key, value FROM jsonb_each(target) WHERE NOT patch ? key
                 UNION ALL
                SELECT key, identity.merge_patch(target -> key, value) FROM jsonb_each(patch) WHERE value <> 'null') AS merged
    ), '{}');
END $$;
COMMENT ON FUNCTION identity.merge_patch IS
    'JSON Merge Patch (RFC 7396), for columns that always hold an object: no patch changes nothing, null empties it.';

CREATE FUNCTION identity.is_bounded(document jsonb, max_bytes int) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN jsonb_typeof(document) = 'object'
   AND octet_length(document::text) <= max_bytes
   AND NOT jsonb_path_exists(document, '$.**{9 to last}');
COMMENT ON FUNCTION identity.is_bounded IS
    'An object of at most so many bytes and 8 levels. Judged on the result, since patches could grow it without end.';

CREATE SEQUENCE identity.tenant_refs AS bigint MINVALUE 0 START 1 NO CYCLE;
COMMENT ON SEQUENCE identity.tenant_refs IS
    'One step a tenant, see next_ref(). It begins anywhere, or the first refs would tell how many tenants there are.';
DO $$ BEGIN PERFORM setval('identity.tenant_refs', floor(random() * 62 ^ 6)::bigint); END $$;

CREATE FUNCTION identity.next_ref() RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    WITH walked AS (SELECT (nextval('identity.tenant_refs'::regclass) * 35182546951::numeric % 62::numeric ^ 6)::bigint AS n)
    SELECT string_agg(substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
                             1 + (n / (62::numeric ^ digit)::bigint % 62)::int, 1), '' ORDER BY digit DESC)
      FROM walked, generate_series(0, 5) AS digit;
END;
COMMENT ON FUNCTION identity.next_ref IS
    'Six base62 characters that never repeat, not even after a purge: the multiplier shares no factor with 62^6, so the walk meets every ref once before any twice.';

CREATE FUNCTION identity.uuid7() RETURNS text
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
           PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
           52, 1), 53, 1), 'hex')::uuid::text;
COMMENT ON FUNCTION identity.uuid7 IS 'A UUIDv7 (RFC 9562): its time comes first, so that new rows lie together in the index. Built in only from 18 on.';

CREATE FUNCTION identity.is_copying() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(current_setting('identity.copying', true), '') = 'on';
COMMENT ON FUNCTION identity.is_copying IS
    'Whether a tenant comes whole from another installation: what was judged there when it was given is taken as it is, tombstones with what lies under them.';

CREATE FUNCTION identity.parents_live() RETURNS trigger
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
COMMENT ON FUNCTION identity.parents_live IS
    'Nothing new comes under a tombstone, whichever statement brings it: a foreign key alone sees the row, not that it was deleted.';

CREATE FUNCTION identity.refuse_tombstone() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE unique_violation USING CONSTRAINT = TG_ARGV[0], MESSAGE = 'a tombstone holds this key: restore or purge it';
END $$;
COMMENT ON FUNCTION identity.refuse_tombstone IS 'A tombstone only ever comes back or goes for good: an upsert that meets one is refused.';

CREATE FUNCTION identity.covers(granted text, scope text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN granted = '*' OR granted = scope OR (right(granted, 2) = ':*' AND starts_with(scope, left(granted, -1)));
COMMENT ON FUNCTION identity.covers IS
    'Whether one granted scope covers another: exactly, or as * or orders:*. A wildcard is covered whole or not at all.';

GRANT USAGE ON SEQUENCE identity.tenant_refs TO identity_app;

CREATE FUNCTION identity.of_tenant(text, jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN jsonb_build_object($1, $2);
COMMENT ON FUNCTION identity.of_tenant IS
    'Metadata under the tenant''s id: a GIN index cannot hold another column without an extension, and so finds those of one tenant alone.';
