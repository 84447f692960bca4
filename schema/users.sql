CREATE TABLE identity.users (
    tenant_id          text COLLATE "C" NOT NULL,
    id                 text COLLATE "C" NOT NULL DEFAULT identity.uuid7(),
    username           text        NOT NULL,
    username_canonical text COLLATE "C" NOT NULL,
    email              text,
    email_canonical    text COLLATE "C",
    full_name          text,
    status             text        NOT NULL DEFAULT 'active',
    metadata           jsonb       NOT NULL DEFAULT '{}',
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at         timestamptz,
    email_verified_at  timestamptz,
    CONSTRAINT user_taken PRIMARY KEY (tenant_id, id),
    CONSTRAINT tenant_not_found FOREIGN KEY (tenant_id) REFERENCES identity.tenants ON DELETE CASCADE,
    CONSTRAINT user_id_invalid CHECK (id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'),
    CONSTRAINT username_invalid CHECK (length(username) BETWEEN 1 AND 200),
    CONSTRAINT email_invalid CHECK (length(email) BETWEEN 3 AND 320),
    CONSTRAINT email_canonical_missing CHECK ((email IS NULL) = (email_canonical IS NULL)),
    CONSTRAINT full_name_invalid CHECK (length(full_name) BETWEEN 1 AND 200),
    CONSTRAINT status_invalid CHECK (status IN ('active', 'suspended', 'locked')),
    CONSTRAINT metadata_too_large CHECK (identity.is_bounded(metadata, 65536))
);
CREATE UNIQUE INDEX username_taken ON identity.users (tenant_id, username_canonical) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX email_taken ON identity.users (tenant_id, email_canonical) WHERE deleted_at IS NULL;
CREATE INDEX users_deleted ON identity.users (tenant_id, deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX users_by_metadata ON identity.users USING gin (identity.of_tenant(tenant_id, metadata) jsonb_path_ops);
CREATE INDEX users_by_full_name ON identity.users (tenant_id, full_name COLLATE "C", id);
CREATE INDEX users_by_creation ON identity.users (tenant_id, created_at, id);
CREATE INDEX users_by_change ON identity.users (tenant_id, updated_at, id);

ALTER TABLE identity.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.users FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.users TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.users TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY verifier ON identity.users FOR SELECT TO identity_verifier USING (true);
CREATE POLICY sweep ON identity.users TO identity_platform USING (deleted_at IS NOT NULL);

CREATE TRIGGER touch BEFORE UPDATE ON identity.users FOR EACH ROW EXECUTE FUNCTION identity.touch();
CREATE TRIGGER tombstone BEFORE UPDATE ON identity.users FOR EACH ROW
    WHEN (OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION identity.refuse_tombstone('user_taken');
CREATE TRIGGER parents_live AFTER INSERT ON identity.users REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.parents_live('tenants', 'p.id = n.tenant_id', 'tenant_not_found');

GRANT SELECT, INSERT, DELETE,
      UPDATE (username, username_canonical, email, email_canonical, full_name, status, metadata, deleted_at,
              email_verified_at)
    ON identity.users TO identity_app;
GRANT SELECT (tenant_id, id, status, deleted_at) ON identity.users TO identity_verifier;
GRANT SELECT (tenant_id, id, deleted_at), UPDATE (updated_at), DELETE ON identity.users TO identity_platform;

COMMENT ON TABLE identity.users IS 'People of a tenant.';
COMMENT ON COLUMN identity.users.username IS 'Stored and shown as given; compared in its canonical form.';
COMMENT ON COLUMN identity.users.username_canonical IS
    'NFKC(casefold(NFKC(username))), computed by the program: PostgreSQL''s lower() depends on the locale and keeps lookalikes apart.';
COMMENT ON COLUMN identity.users.email_canonical IS 'As username_canonical; NULL where there is no e-mail.';
COMMENT ON COLUMN identity.users.deleted_at IS 'A tombstone: username and e-mail are free again, their keys are dead, and it can be restored until it is purged.';
COMMENT ON COLUMN identity.users.email_verified_at IS 'When somebody proved to receive what is sent there; another address is not proved.';

CREATE FUNCTION identity.unverify_email() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.email_verified_at := NULL;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION identity.unverify_email IS 'Whichever statement changes the address: that the old one was proved says nothing of the new one.';
CREATE TRIGGER unverify_email BEFORE UPDATE ON identity.users FOR EACH ROW
    WHEN (OLD.email_canonical IS DISTINCT FROM NEW.email_canonical) EXECUTE FUNCTION identity.unverify_email();

CREATE POLICY reader ON identity.users FOR SELECT TO identity_reader USING (true);
GRANT SELECT ON identity.users TO identity_reader;
CREATE VIEW identity.users_of_tenant AS
SELECT tenant_id, id, username, username_canonical, email, email_canonical, full_name, status, metadata, created_at, updated_at,
       deleted_at, email_verified_at
  FROM identity.users
 WHERE tenant_id = identity.current_tenant();
COMMENT ON VIEW identity.users_of_tenant IS
    'The same wall as a plain predicate: behind a policy no index serves what is not leakproof, as JSON containment and prefixes are.';
GRANT SELECT ON identity.users_of_tenant TO identity_app;
GRANT CREATE ON SCHEMA identity TO identity_reader;
ALTER VIEW identity.users_of_tenant OWNER TO identity_reader;
REVOKE CREATE ON SCHEMA identity FROM identity_reader;
