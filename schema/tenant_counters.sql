CREATE TABLE identity.tenant_counters (
    tenant_id  text COLLATE "C" NOT NULL,
    noun       text COLLATE "C" NOT NULL,
    living     int         NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT tenant_counter_taken PRIMARY KEY (tenant_id, noun),
    CONSTRAINT tenant_not_found FOREIGN KEY (tenant_id) REFERENCES identity.tenants ON DELETE CASCADE,
    CONSTRAINT noun_invalid CHECK (noun IN ('users', 'apps')),
    CONSTRAINT living_negative CHECK (living >= 0)
);

ALTER TABLE identity.tenant_counters ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.tenant_counters FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.tenant_counters TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.tenant_counters TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());

CREATE TRIGGER touch BEFORE UPDATE ON identity.tenant_counters FOR EACH ROW EXECUTE FUNCTION identity.touch();

CREATE FUNCTION identity.start_counters() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO identity.tenant_counters (tenant_id, noun) VALUES (NEW.id, 'users'), (NEW.id, 'apps');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION identity.start_counters IS
    'A tenant has its counters from the start, so that counting is an UPDATE: in the cascade of a purge it finds nothing, and that is right.';

CREATE FUNCTION identity.count_living() RETURNS trigger
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
COMMENT ON FUNCTION identity.count_living IS
    'Quotas, for every way in: insert, upsert, import, restore. The counter''s row is locked last and is exact; a count in the same statement let 42 of 50 through a limit of 10.';

REVOKE ALL ON FUNCTION identity.start_counters(), identity.count_living() FROM PUBLIC;

CREATE TRIGGER start_counters AFTER INSERT ON identity.tenants FOR EACH ROW EXECUTE FUNCTION identity.start_counters();
CREATE TRIGGER count_inserted AFTER INSERT ON identity.apps REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.count_living();
CREATE TRIGGER count_updated AFTER UPDATE ON identity.apps REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.count_living();
CREATE TRIGGER count_deleted AFTER DELETE ON identity.apps REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.count_living();
CREATE TRIGGER count_inserted AFTER INSERT ON identity.users REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.count_living();
CREATE TRIGGER count_updated AFTER UPDATE ON identity.users REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.count_living();
CREATE TRIGGER count_deleted AFTER DELETE ON identity.users REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.count_living();

GRANT SELECT ON identity.tenant_counters TO identity_app;

COMMENT ON TABLE identity.tenant_counters IS 'How many users and apps (other than "identity") of a tenant are not deleted: what quotas are judged by.';
