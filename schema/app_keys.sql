CREATE TABLE identity.app_keys (
    tenant_id     text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    app_id        text COLLATE "C" NOT NULL,
    branch_id     text COLLATE "C",
    user_id       text COLLATE "C",
    prefix        text COLLATE "C" NOT NULL,
    secret_hash   bytea       NOT NULL,
    type          text        NOT NULL DEFAULT 'secret',
    environment   text        NOT NULL DEFAULT 'live',
    name          text        NOT NULL,
    scopes        text[]      NOT NULL DEFAULT '{}',
    metadata      jsonb       NOT NULL DEFAULT '{}',
    expires_at    timestamptz,
    disabled_at   timestamptz,
    revoked_at    timestamptz,
    revoke_reason text,
    rotated_from  text COLLATE "C",
    credits       jsonb,
    rate_limits   jsonb       NOT NULL DEFAULT '[]',
    allowed_ips   text[]      NOT NULL DEFAULT '{}',
    allowed_routes jsonb      NOT NULL DEFAULT '[]',
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    algorithm     text,
    prefix_shown  text,
    CONSTRAINT key_taken PRIMARY KEY (tenant_id, id),
    CONSTRAINT app_not_found FOREIGN KEY (tenant_id, app_id) REFERENCES identity.apps ON DELETE CASCADE,
    CONSTRAINT branch_not_found FOREIGN KEY (tenant_id, app_id, branch_id) REFERENCES identity.branches ON DELETE CASCADE,
    CONSTRAINT user_not_found FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users ON DELETE CASCADE,
    CONSTRAINT key_id_invalid CHECK (id ~ '^[0-9A-Za-z]{22}$'),
    CONSTRAINT prefix_invalid CHECK (prefix ~ '^[a-z][a-z0-9]{1,11}$'),
    CONSTRAINT secret_hash_invalid CHECK (octet_length(secret_hash) = CASE WHEN algorithm = 'sha512' THEN 64 ELSE 32 END),
    CONSTRAINT type_invalid CHECK (type IN ('secret', 'public', 'restricted', 'service')),
    CONSTRAINT environment_invalid CHECK (environment IN ('live', 'test')),
    CONSTRAINT name_invalid CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT scopes_too_many CHECK (cardinality(scopes) <= 100),
    CONSTRAINT metadata_too_large CHECK (identity.is_bounded(metadata, 4096)),
    CONSTRAINT revoke_reason_invalid CHECK (length(revoke_reason) BETWEEN 1 AND 200),
    CONSTRAINT public_key_too_broad CHECK (type <> 'public' OR (app_id <> 'identity' AND '*' <> ALL (scopes))),
    CONSTRAINT restricted_key_too_broad CHECK (type <> 'restricted' OR (cardinality(scopes) > 0 AND '*' <> ALL (scopes))),
    CONSTRAINT service_key_has_owner CHECK (type <> 'service' OR user_id IS NULL),
    CONSTRAINT credits_invalid CHECK (jsonb_typeof(credits) = 'object' AND octet_length(credits::text) <= 200),
    CONSTRAINT refill_incomplete CHECK ((credits ? 'refill_amount') = (credits ? 'refill_interval_s')),
    CONSTRAINT rate_limits_too_many CHECK (CASE jsonb_typeof(rate_limits) WHEN 'array' THEN jsonb_array_length(rate_limits) <= 5 ELSE false END),
    CONSTRAINT allowed_ips_too_many CHECK (cardinality(allowed_ips) <= 100),
    CONSTRAINT allowed_routes_too_many CHECK (CASE jsonb_typeof(allowed_routes) WHEN 'array' THEN jsonb_array_length(allowed_routes) <= 100 ELSE false END),
    CONSTRAINT management_key_limited CHECK (app_id <> 'identity' OR (credits IS NULL AND rate_limits = '[]' AND cardinality(allowed_ips) = 0 AND allowed_routes = '[]')),
    CONSTRAINT algorithm_invalid CHECK (algorithm IN ('sha256', 'sha512')),
    CONSTRAINT prefix_shown_invalid CHECK (prefix_shown IS NULL OR (algorithm IS NOT NULL AND length(prefix_shown) BETWEEN 1 AND 16)),
    CONSTRAINT protected CHECK (app_id <> 'identity' OR algorithm IS NULL)
);
CREATE UNIQUE INDEX imported_key_taken ON identity.app_keys (tenant_id, algorithm, secret_hash) WHERE algorithm IS NOT NULL;
CREATE UNIQUE INDEX already_rotated ON identity.app_keys (tenant_id, rotated_from) WHERE revoked_at IS NULL;
CREATE INDEX app_keys_by_branch ON identity.app_keys (tenant_id, app_id, branch_id, id);
CREATE INDEX app_keys_by_app ON identity.app_keys (tenant_id, app_id, id);
CREATE INDEX app_keys_by_user ON identity.app_keys (tenant_id, user_id, id);
CREATE INDEX app_keys_by_rotation ON identity.app_keys (tenant_id, rotated_from) WHERE rotated_from IS NOT NULL;
CREATE INDEX app_keys_by_name ON identity.app_keys (tenant_id, name COLLATE "C", id);
CREATE INDEX app_keys_by_death ON identity.app_keys (tenant_id, least(revoked_at, expires_at))
    WHERE least(revoked_at, expires_at) IS NOT NULL;

ALTER TABLE identity.app_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.app_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.app_keys TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.app_keys TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY verifier ON identity.app_keys FOR SELECT TO identity_verifier USING (true);
CREATE POLICY sweep ON identity.app_keys TO identity_platform
    USING (least(revoked_at, expires_at) < now() - interval '1 day');

CREATE FUNCTION identity.is_management_scope(scope text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN scope ~ '^(\*|(tenants|apps|branches|users|keys|audit):(read|write)|keys:verify(/[a-z0-9][a-z0-9-]{0,62})?|scim:write)$';
COMMENT ON FUNCTION identity.is_management_scope IS 'What keys of the app "identity" may carry: scopes over this service itself.';

CREATE FUNCTION identity.judge_scopes() RETURNS trigger
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
COMMENT ON FUNCTION identity.judge_scopes IS
    'Scopes are judged when they are given, by whichever statement: management scopes for identity, else the app''s allowed_scopes.';

CREATE FUNCTION identity.inherit_limits() RETURNS trigger
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
COMMENT ON FUNCTION identity.inherit_limits IS
    'A worker of the version before these columns rotates a key too, while a new version comes: without this its successor would have no limits.';

CREATE TRIGGER touch BEFORE UPDATE ON identity.app_keys FOR EACH ROW EXECUTE FUNCTION identity.touch();
CREATE TRIGGER inherit_limits BEFORE INSERT ON identity.app_keys FOR EACH ROW
    WHEN (NEW.rotated_from IS NOT NULL AND NEW.credits IS NULL AND NEW.rate_limits = '[]'
          AND NEW.allowed_ips = '{}' AND NEW.allowed_routes = '[]')
    EXECUTE FUNCTION identity.inherit_limits();
CREATE TRIGGER judge_scopes BEFORE INSERT ON identity.app_keys
    FOR EACH ROW EXECUTE FUNCTION identity.judge_scopes();
CREATE TRIGGER judge_new_scopes BEFORE UPDATE ON identity.app_keys
    FOR EACH ROW WHEN (NEW.scopes <> OLD.scopes) EXECUTE FUNCTION identity.judge_scopes();
CREATE TRIGGER judge_scopes BEFORE INSERT ON identity.user_apps
    FOR EACH ROW EXECUTE FUNCTION identity.judge_scopes();
CREATE TRIGGER judge_new_scopes BEFORE UPDATE ON identity.user_apps
    FOR EACH ROW WHEN (NEW.scopes <> OLD.scopes) EXECUTE FUNCTION identity.judge_scopes();
CREATE TRIGGER parents_live AFTER INSERT ON identity.app_keys REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.parents_live(
        'apps', 'p.tenant_id = n.tenant_id AND p.id = n.app_id', 'app_not_found',
        'branches', 'p.tenant_id = n.tenant_id AND p.app_id = n.app_id AND p.id = n.branch_id', 'branch_not_found',
        'users', 'p.tenant_id = n.tenant_id AND p.id = n.user_id', 'user_not_found');

GRANT SELECT, INSERT, DELETE, UPDATE (name, scopes, metadata, expires_at, disabled_at, revoked_at, revoke_reason,
                                      credits, rate_limits, allowed_ips, allowed_routes)
    ON identity.app_keys TO identity_app;
GRANT SELECT (tenant_id, id, app_id, branch_id, user_id, prefix, secret_hash, type, environment, name, scopes, metadata,
              expires_at, disabled_at, revoked_at, credits, rate_limits, allowed_ips, allowed_routes, algorithm)
    ON identity.app_keys TO identity_verifier;
GRANT SELECT (tenant_id, id, revoked_at, expires_at), UPDATE (updated_at), DELETE ON identity.app_keys TO identity_platform;

COMMENT ON TABLE identity.app_keys IS 'API keys. The text is {prefix}_{environment}_{id}_{secret}{checksum}, and is shown once.';
COMMENT ON COLUMN identity.app_keys.id IS 'The tenant''s ref and 16 random base62 characters: public, and enough to find the row.';
COMMENT ON COLUMN identity.app_keys.user_id IS 'Its owner: a key dies with the user, and with the user''s access to the app.';
COMMENT ON COLUMN identity.app_keys.secret_hash IS
    'SHA-256 of 256 random bits: nothing to guess, so nothing to slow down; a slow hash would let anyone burn the CPU with wrong keys.';
COMMENT ON COLUMN identity.app_keys.algorithm IS
    'How the hash was made of the whole text of a key that another system issued; NULL: issued here. By its id such a row is never verified, since of that text the id is no part.';
COMMENT ON COLUMN identity.app_keys.prefix_shown IS 'How an imported key begins, as far as its admins may see it: there is nothing else to know it by.';
COMMENT ON COLUMN identity.app_keys.rotated_from IS
    'The key it succeeded. No foreign key: a swept predecessor must not take its successor along. Unique among the living, so that undoing a rotation leaves a way on. By it the old key finds those that succeeded it, the revoked ones too.';
COMMENT ON COLUMN identity.app_keys.credits IS 'How they are refilled; NULL where it takes none. What remains moves, and so is in key_limits.';
COMMENT ON COLUMN identity.app_keys.allowed_ips IS 'Networks from which it may be used; empty: from anywhere.';
COMMENT ON INDEX identity.app_keys_by_death IS 'For keys that have been dead for so long that they go.';
COMMENT ON POLICY sweep ON identity.app_keys IS 'A day is the least that a tenant''s keep_dead_keys_days can be.';
