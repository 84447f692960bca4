CREATE TABLE identity.tenant_changes (
    tenant_id  text COLLATE "C" NOT NULL,
    ref        text COLLATE "C" NOT NULL,
    n          bigint      NOT NULL DEFAULT 0,
    changes    text[]      NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT tenant_change_taken PRIMARY KEY (tenant_id),
    CONSTRAINT tenant_not_found FOREIGN KEY (tenant_id) REFERENCES identity.tenants ON DELETE CASCADE
) WITH (fillfactor = 50);
CREATE INDEX tenant_changes_by_ref ON identity.tenant_changes (ref);

ALTER TABLE identity.tenant_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.tenant_changes FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.tenant_changes TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.tenant_changes TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY verifier ON identity.tenant_changes FOR SELECT TO identity_verifier USING (true);

CREATE TRIGGER touch BEFORE UPDATE ON identity.tenant_changes FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT (tenant_id, ref, n, changes, xmin) ON identity.tenant_changes TO identity_verifier;

COMMENT ON TABLE identity.tenant_changes IS 'By which a remembered verdict is proved: n rises in the very transaction that changes what a verdict says, and so in the order of commits. Pages are left room, so that a count that rises moves no index.';
COMMENT ON COLUMN identity.tenant_changes.changes IS 'What the last 32 changes were, the last being number n: a key, a user, or * for everything.';

-- Rows of this table live inside one transaction alone: gathered by statements, and gone before it ends.
CREATE TABLE identity.gathered_changes (
    tenant_id  text COLLATE "C" NOT NULL,
    what       text COLLATE "C" NOT NULL,
    xact       xid8        NOT NULL DEFAULT pg_current_xact_id(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX gathered_changes_by_xact ON identity.gathered_changes (xact);

ALTER TABLE identity.gathered_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.gathered_changes FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.gathered_changes TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.gathered_changes TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE TRIGGER touch BEFORE UPDATE ON identity.gathered_changes FOR EACH ROW EXECUTE FUNCTION identity.touch();
COMMENT ON TABLE identity.gathered_changes IS 'Empty outside of a transaction. So the counter''s row is locked once a transaction, and last: locked first, two writers would deadlock.';

CREATE FUNCTION identity.start_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO identity.tenant_changes (tenant_id, ref, n)
    VALUES (NEW.id, NEW.ref, CASE WHEN identity.is_copying() THEN floor(extract(epoch FROM clock_timestamp()) * 1000) ELSE 0 END);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION identity.start_changes IS
    'A tenant that comes as a copy may have been here before, under the same ref, and been purged: its counter begins further on than the old one can have come, or a worker would think verdicts of then unchanged.';

CREATE FUNCTION identity.gather_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE 'INSERT INTO identity.gathered_changes (tenant_id, what)
             SELECT tenant, unnest(CASE WHEN count(*) > 8 THEN ARRAY[''*''] ELSE array_agg(what) END)
               FROM (SELECT DISTINCT ' || TG_ARGV[0] || ' AS tenant, ' || TG_ARGV[1] || ' AS what FROM '
        || CASE TG_OP WHEN 'DELETE' THEN 'old_rows'
                WHEN 'INSERT' THEN 'new_rows WHERE ' || TG_ARGV[2]
                ELSE format('(SELECT %1$s FROM new_rows EXCEPT SELECT %1$s FROM old_rows) AS moved', TG_ARGV[2]) END
        || ') AS found GROUP BY tenant';
    RETURN NULL;
END $$;
COMMENT ON FUNCTION identity.gather_changes IS
    'What a statement changed of what verdicts say: of many rows everything, since naming them all would push older changes out of the last 32.';

CREATE FUNCTION identity.number_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_catalog, pg_temp AS $$
DECLARE
    moved record;
BEGIN
    FOR moved IN
        WITH gathered AS (
            DELETE FROM identity.gathered_changes WHERE xact = pg_current_xact_id() RETURNING tenant_id, what
        )
        SELECT tenant_id, CASE WHEN count(DISTINCT what) > 8 OR bool_or(what = '*') THEN ARRAY['*']
                               ELSE array_agg(DISTINCT what) END AS whats
          FROM gathered GROUP BY tenant_id ORDER BY tenant_id
    LOOP
        UPDATE identity.tenant_changes
           SET n = n + cardinality(moved.whats),
               changes = (changes || moved.whats)[greatest(1, cardinality(changes) + cardinality(moved.whats) - 31):]
         WHERE tenant_id = moved.tenant_id;
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION identity.number_changes IS
    'At the end of the transaction, tenants in their order. The first row that was gathered does it for all; the others find nothing.';

REVOKE ALL ON FUNCTION identity.start_changes(), identity.gather_changes(), identity.number_changes() FROM PUBLIC;

CREATE TRIGGER start_changes AFTER INSERT ON identity.tenants FOR EACH ROW EXECUTE FUNCTION identity.start_changes();
CREATE CONSTRAINT TRIGGER number_changes AFTER INSERT ON identity.gathered_changes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION identity.number_changes();

-- The tenant, what it is that changed, and the columns that are judged; of a key all are, since they are answered too.
CREATE TRIGGER gather_updated AFTER UPDATE ON identity.tenants REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('id', '''*''', 'id, status, deleted_at');
CREATE TRIGGER gather_deleted AFTER DELETE ON identity.tenants REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('id', '''*''');
ALTER TABLE identity.tenants ENABLE ALWAYS TRIGGER gather_updated;
ALTER TABLE identity.tenants ENABLE ALWAYS TRIGGER gather_deleted;
CREATE TRIGGER gather_updated AFTER UPDATE ON identity.apps REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('tenant_id', '''*''', 'tenant_id, id, status, deleted_at');
CREATE TRIGGER gather_deleted AFTER DELETE ON identity.apps REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('tenant_id', '''*''');
ALTER TABLE identity.apps ENABLE ALWAYS TRIGGER gather_updated;
ALTER TABLE identity.apps ENABLE ALWAYS TRIGGER gather_deleted;
CREATE TRIGGER gather_updated AFTER UPDATE ON identity.branches REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('tenant_id', '''*''', 'tenant_id, app_id, id, status, deleted_at');
CREATE TRIGGER gather_deleted AFTER DELETE ON identity.branches REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('tenant_id', '''*''');
ALTER TABLE identity.branches ENABLE ALWAYS TRIGGER gather_updated;
ALTER TABLE identity.branches ENABLE ALWAYS TRIGGER gather_deleted;
CREATE TRIGGER gather_updated AFTER UPDATE ON identity.users REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('tenant_id', '''user '' || id', 'tenant_id, id, status, deleted_at');
CREATE TRIGGER gather_deleted AFTER DELETE ON identity.users REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('tenant_id', '''user '' || id');
ALTER TABLE identity.users ENABLE ALWAYS TRIGGER gather_updated;
ALTER TABLE identity.users ENABLE ALWAYS TRIGGER gather_deleted;
CREATE TRIGGER gather_updated AFTER UPDATE ON identity.user_apps REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('tenant_id', '''user '' || user_id', 'tenant_id, app_id, user_id, status');
CREATE TRIGGER gather_deleted AFTER DELETE ON identity.user_apps REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('tenant_id', '''user '' || user_id');
ALTER TABLE identity.user_apps ENABLE ALWAYS TRIGGER gather_updated;
ALTER TABLE identity.user_apps ENABLE ALWAYS TRIGGER gather_deleted;
CREATE TRIGGER gather_updated AFTER UPDATE ON identity.app_keys REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('tenant_id', '''key '' || id', '*');
CREATE TRIGGER gather_deleted AFTER DELETE ON identity.app_keys REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('tenant_id', '''key '' || id');
ALTER TABLE identity.app_keys ENABLE ALWAYS TRIGGER gather_updated;
ALTER TABLE identity.app_keys ENABLE ALWAYS TRIGGER gather_deleted;
CREATE TRIGGER gather_imported AFTER INSERT ON identity.app_keys REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.gather_changes('tenant_id', '''*''', 'algorithm IS NOT NULL');
COMMENT ON TRIGGER gather_imported ON identity.app_keys IS
    'The one new row that may change a verdict: a text that is known by one hash already, and now is the key of another.';
ALTER TABLE identity.app_keys ENABLE ALWAYS TRIGGER gather_imported;
ALTER TABLE identity.tenants ENABLE ALWAYS TRIGGER start_changes;
ALTER TABLE identity.gathered_changes ENABLE ALWAYS TRIGGER number_changes;
