CREATE TABLE identity.branches (
    tenant_id  text COLLATE "C" NOT NULL,
    app_id     text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL DEFAULT identity.uuid7(),
    code       text COLLATE "C" NOT NULL,
    name       text        NOT NULL,
    type       text        NOT NULL,
    status     text        NOT NULL DEFAULT 'active',
    address    jsonb       NOT NULL DEFAULT '{}',
    contact    jsonb       NOT NULL DEFAULT '{}',
    settings   jsonb       NOT NULL DEFAULT '{}',
    metadata   jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at timestamptz,
    CONSTRAINT branch_taken PRIMARY KEY (tenant_id, app_id, id),
    CONSTRAINT app_not_found FOREIGN KEY (tenant_id, app_id) REFERENCES identity.apps ON DELETE CASCADE,
    CONSTRAINT branch_id_invalid CHECK (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    CONSTRAINT branch_code_invalid CHECK (length(code) BETWEEN 1 AND 64),
    CONSTRAINT name_invalid CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT type_invalid CHECK (type IN ('headquarters', 'regional', 'store', 'warehouse', 'franchise', 'office', 'other')),
    CONSTRAINT status_invalid CHECK (status IN ('active', 'disabled')),
    CONSTRAINT address_too_large CHECK (identity.is_bounded(address, 8192)),
    CONSTRAINT contact_too_large CHECK (identity.is_bounded(contact, 8192)),
    CONSTRAINT settings_too_large CHECK (identity.is_bounded(settings, 65536)),
    CONSTRAINT metadata_too_large CHECK (identity.is_bounded(metadata, 65536))
);
CREATE UNIQUE INDEX branch_code_taken ON identity.branches (tenant_id, app_id, code) WHERE deleted_at IS NULL;
CREATE INDEX branches_deleted ON identity.branches (tenant_id, deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX branches_by_metadata ON identity.branches USING gin (identity.of_tenant(tenant_id, metadata) jsonb_path_ops);
CREATE INDEX branches_by_name ON identity.branches (tenant_id, app_id, name COLLATE "C", id);

ALTER TABLE identity.branches ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.branches FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.branches TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.branches TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY verifier ON identity.branches FOR SELECT TO identity_verifier USING (true);
CREATE POLICY sweep ON identity.branches TO identity_platform USING (deleted_at IS NOT NULL);

CREATE TRIGGER touch BEFORE UPDATE ON identity.branches FOR EACH ROW EXECUTE FUNCTION identity.touch();
CREATE TRIGGER tombstone BEFORE UPDATE ON identity.branches FOR EACH ROW
    WHEN (OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION identity.refuse_tombstone('branch_taken');
CREATE TRIGGER parents_live AFTER INSERT ON identity.branches REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.parents_live('apps', 'p.tenant_id = n.tenant_id AND p.id = n.app_id', 'app_not_found');

GRANT SELECT, INSERT, DELETE, UPDATE (code, name, type, status, address, contact, settings, metadata, deleted_at)
    ON identity.branches TO identity_app;
GRANT SELECT (tenant_id, app_id, id, status, deleted_at) ON identity.branches TO identity_verifier;
GRANT SELECT (tenant_id, app_id, id, deleted_at), UPDATE (updated_at), DELETE ON identity.branches TO identity_platform;

COMMENT ON TABLE identity.branches IS 'Where an app is used: stores, offices, airports. A key may be bound to one.';
COMMENT ON COLUMN identity.branches.code IS 'What the tenant''s own systems call it, as given; unique in the app.';
COMMENT ON COLUMN identity.branches.settings IS 'Only what was given; the defaults are the program''s, so that they can move.';
COMMENT ON COLUMN identity.branches.deleted_at IS 'A tombstone: its code is free again, its keys are dead, and it can be restored until it is purged.';

CREATE POLICY reader ON identity.branches FOR SELECT TO identity_reader USING (true);
GRANT SELECT ON identity.branches TO identity_reader;
CREATE VIEW identity.branches_of_tenant AS
SELECT tenant_id, app_id, id, code, name, type, status, address, contact, settings, metadata, created_at, updated_at, deleted_at
  FROM identity.branches
 WHERE tenant_id = identity.current_tenant();
COMMENT ON VIEW identity.branches_of_tenant IS
    'The same wall as a plain predicate: behind a policy no index serves what is not leakproof, as JSON containment and prefixes are.';
GRANT SELECT ON identity.branches_of_tenant TO identity_app;
GRANT CREATE ON SCHEMA identity TO identity_reader;
ALTER VIEW identity.branches_of_tenant OWNER TO identity_reader;
REVOKE CREATE ON SCHEMA identity FROM identity_reader;
