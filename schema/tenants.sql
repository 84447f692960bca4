CREATE TABLE identity.tenants (
    id         text COLLATE "C" NOT NULL,
    ref        text COLLATE "C" NOT NULL DEFAULT identity.next_ref(),
    name       text        NOT NULL,
    domain     text COLLATE "C",
    status     text        NOT NULL DEFAULT 'active',
    db_dsn     text,
    db_schema  text,
    settings   jsonb       NOT NULL DEFAULT '{}',
    metadata   jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at timestamptz,
    purged_at  timestamptz,
    CONSTRAINT tenant_taken PRIMARY KEY (id),
    CONSTRAINT tenant_ref_taken UNIQUE (ref),
    CONSTRAINT tenant_id_invalid CHECK (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    CONSTRAINT name_invalid CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT status_invalid CHECK (status IN ('active', 'suspended')),
    CONSTRAINT settings_too_large CHECK (identity.is_bounded(settings, 65536)),
    CONSTRAINT metadata_too_large CHECK (identity.is_bounded(metadata, 65536)),
    CONSTRAINT protected CHECK (id <> 'platform' OR (status = 'active' AND deleted_at IS NULL))
);
CREATE UNIQUE INDEX domain_taken ON identity.tenants (domain) WHERE deleted_at IS NULL;
CREATE INDEX tenants_deleted ON identity.tenants (id) WHERE deleted_at IS NOT NULL;

ALTER TABLE identity.tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.tenants TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.tenants TO identity_app
    USING (id = identity.current_tenant()) WITH CHECK (id = identity.current_tenant());
CREATE POLICY platform ON identity.tenants FOR SELECT TO identity_platform USING (true);
CREATE POLICY verifier ON identity.tenants FOR SELECT TO identity_verifier USING (true);

CREATE TRIGGER touch BEFORE UPDATE ON identity.tenants FOR EACH ROW EXECUTE FUNCTION identity.touch();
CREATE TRIGGER tombstone BEFORE UPDATE ON identity.tenants FOR EACH ROW
    WHEN (OLD.purged_at IS NOT NULL OR (OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NOT NULL AND NEW.purged_at IS NULL))
    EXECUTE FUNCTION identity.refuse_tombstone('tenant_taken');

GRANT SELECT, INSERT, DELETE, UPDATE (name, domain, status, db_dsn, db_schema, settings, metadata, deleted_at, purged_at)
    ON identity.tenants TO identity_app;
GRANT SELECT ON identity.tenants TO identity_platform;
GRANT SELECT (id, ref, status, deleted_at) ON identity.tenants TO identity_verifier;

COMMENT ON TABLE identity.tenants IS 'Organisations. Everything else belongs to one, and never to two.';
COMMENT ON COLUMN identity.tenants.ref IS 'Goes into every key, so that a look-up knows its tenant. Never changes, never repeats.';
COMMENT ON COLUMN identity.tenants.db_dsn IS 'Where the tenant''s own application data lies; never with a secret in it.';
COMMENT ON COLUMN identity.tenants.settings IS 'Only what was given; the defaults are the program''s, so that they can move.';
COMMENT ON COLUMN identity.tenants.deleted_at IS 'A tombstone: its domain is free again, all under it is dead, and it can be restored until it is purged.';
COMMENT ON COLUMN identity.tenants.purged_at IS 'When its purge began, which goes in steps: from then on nothing brings it back, and its row goes last.';
