-- depends: 0028_failures_of_purged
CREATE FUNCTION identity.refresh_session(
    of_tenant text, of_app text, presented bytea, family bytea, next_hash bytea, next_sealed bytea,
    every_s float8, idle_s int, refresh_token_s int, default_access_token_s int)
RETURNS TABLE (tenant_id text, session_id text, app_id text, user_id text, scopes text[], access_token_s int, expires_at timestamptz)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    every interval := make_interval(secs => every_s);
    live record;
BEGIN
    SELECT s.id, s.user_id,
           CASE WHEN s.scopes <@ access.scopes THEN s.scopes
                ELSE identity.granted_scopes(s.app_id, access.scopes, s.scopes) END AS scopes,
           coalesce((a.settings ->> 'access_token_s')::int, default_access_token_s) AS access_token_s,
           least(s.ends_at, clock_timestamp() + make_interval(secs => least(
               coalesce((t.settings ->> 'session_idle_s')::int, idle_s),
               coalesce((a.settings ->> 'refresh_token_s')::int, refresh_token_s)))) AS expires_at
      INTO live
      FROM identity.refresh_tokens AS token
      JOIN identity.sessions AS s ON s.tenant_id = of_tenant AND s.id = token.session_id AND s.app_id = of_app
      JOIN identity.tenants AS t ON t.id = of_tenant AND t.status = 'active' AND t.deleted_at IS NULL
      JOIN identity.apps AS a ON a.tenant_id = of_tenant AND a.id = s.app_id
           AND a.status = 'active' AND a.deleted_at IS NULL
      JOIN identity.users AS u ON u.tenant_id = of_tenant AND u.id = s.user_id
           AND u.status = 'active' AND u.deleted_at IS NULL
      JOIN identity.user_apps AS access ON access.tenant_id = of_tenant AND access.app_id = s.app_id
           AND access.user_id = s.user_id AND access.status = 'active'
     WHERE token.tenant_id = of_tenant AND token.hash = presented AND token.expires_at > clock_timestamp()
       AND s.expires_at > clock_timestamp()
       AND (s.paid_until IS NULL OR s.paid_until <= clock_timestamp() + interval '60 s' - every)
       FOR NO KEY UPDATE OF s;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE identity.refresh_tokens AS token
       SET consumed_at = clock_timestamp(), successor_hash = next_hash, successor = next_sealed
     WHERE token.tenant_id = of_tenant AND token.hash = presented AND token.consumed_at IS NULL;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE identity.sessions AS session
       SET last_used_at = clock_timestamp(), expires_at = live.expires_at,
           paid_until = greatest(paid_until, clock_timestamp()) + every
     WHERE session.tenant_id = of_tenant AND session.id = live.id;
    DELETE FROM identity.refresh_tokens AS old
     WHERE old.tenant_id = of_tenant AND old.session_id = live.id AND old.family_hash = family AND old.hash <> presented;
    INSERT INTO identity.refresh_tokens (tenant_id, hash, family_hash, session_id, expires_at)
    VALUES (of_tenant, next_hash, family, live.id, live.expires_at);
    RETURN QUERY SELECT of_tenant, live.id, of_app, live.user_id, live.scopes, live.access_token_s, live.expires_at;
END $$;
COMMENT ON FUNCTION identity.refresh_session IS
    'A function, since each connection keeps the plans of its statements: to plan them anew took longer than to run them. The session is held first, and its tokens after it, as whoever ends it takes them: the other way round the two would deadlock. Of many who come with one token the first consumes it, and the others find it consumed. The one before it nobody need find any more: it is known by its family.';
