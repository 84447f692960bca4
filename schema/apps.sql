CREATE TABLE identity.apps (
    tenant_id  text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    name       text        NOT NULL,
    type       text        NOT NULL,
    status     text        NOT NULL DEFAULT 'active',
    settings   jsonb       NOT NULL DEFAULT '{}',
    metadata   jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at timestamptz,
    CONSTRAINT app_taken PRIMARY KEY (tenant_id, id),
    CONSTRAINT tenant_not_found FOREIGN KEY (tenant_id) REFERENCES identity.tenants ON DELETE CASCADE,
    CONSTRAINT app_id_invalid CHECK (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    CONSTRAINT name_invalid CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT type_invalid CHECK (type IN ('web', 'mobile', 'api', 'desktop', 'service')),
    CONSTRAINT status_invalid CHECK (status IN ('active', 'disabled')),
    CONSTRAINT settings_too_large CHECK (identity.is_bounded(settings, 65536)),
    CONSTRAINT metadata_too_large CHECK (identity.is_bounded(metadata, 65536)),
    CONSTRAINT protected CHECK (id <> 'identity' OR (type = 'service' AND status = 'active' AND deleted_at IS NULL))
);
CREATE UNIQUE INDEX app_name_taken ON identity.apps (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX apps_deleted ON identity.apps (tenant_id, deleted_at) WHERE deleted_at IS NOT NULL;

ALTER TABLE identity.apps ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.apps FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.apps TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.apps TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY verifier ON identity.apps FOR SELECT TO identity_verifier USING (true);
CREATE POLICY sweep ON identity.apps TO identity_platform USING (deleted_at IS NOT NULL);

CREATE TRIGGER touch BEFORE UPDATE ON identity.apps FOR EACH ROW EXECUTE FUNCTION identity.touch();
CREATE TRIGGER tombstone BEFORE UPDATE ON identity.apps FOR EACH ROW
    WHEN (OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION identity.refuse_tombstone('app_taken');
CREATE TRIGGER parents_live AFTER INSERT ON identity.apps REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.parents_live('tenants', 'p.id = n.tenant_id', 'tenant_not_found');

GRANT SELECT, INSERT, DELETE, UPDATE (name, type, status, settings, metadata, deleted_at) ON identity.apps TO identity_app;
GRANT SELECT (tenant_id, id, status, deleted_at) ON identity.apps TO identity_verifier;
GRANT SELECT (tenant_id, id, deleted_at), UPDATE (updated_at), DELETE ON identity.apps TO identity_platform;

COMMENT ON TABLE identity.apps IS 'What a tenant runs. The app "identity" is this service itself: its keys manage, all others are only ever verified.';
COMMENT ON COLUMN identity.apps.settings IS 'Only what was given; the defaults are the program''s, so that they can move.';
COMMENT ON COLUMN identity.apps.deleted_at IS 'A tombstone: its name is free again, all under it is dead, and it can be restored until it is purged.';
