-- depends: 0029_refresh_session
CREATE TABLE identity.invitations (
    tenant_id         text COLLATE "C" NOT NULL,
    id                text COLLATE "C" NOT NULL DEFAULT identity.uuid7(),
    email             text        NOT NULL,
    email_canonical   text COLLATE "C" NOT NULL,
    token_hash        bytea       NOT NULL,
    invited_by        text,
    inviter_tenant_id text COLLATE "C",
    expires_at        timestamptz NOT NULL,
    accepted_at       timestamptz,
    accepted_by       text COLLATE "C",
    withdrawn_at      timestamptz,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT invitation_taken PRIMARY KEY (tenant_id, id),
    CONSTRAINT invitation_token_taken UNIQUE (tenant_id, token_hash),
    CONSTRAINT tenant_not_found FOREIGN KEY (tenant_id) REFERENCES identity.tenants ON DELETE CASCADE,
    CONSTRAINT user_not_found FOREIGN KEY (tenant_id, accepted_by) REFERENCES identity.users ON DELETE CASCADE,
    CONSTRAINT email_invalid CHECK (length(email) BETWEEN 3 AND 320),
    CONSTRAINT token_hash_invalid CHECK (octet_length(token_hash) = 32),
    CONSTRAINT accepted_by_invalid CHECK ((accepted_at IS NULL) = (accepted_by IS NULL)),
    CONSTRAINT inviter_invalid CHECK ((invited_by IS NULL) = (inviter_tenant_id IS NULL))
);
CREATE INDEX invitations_by_email ON identity.invitations (tenant_id, email_canonical);
CREATE INDEX invitations_by_user ON identity.invitations (tenant_id, accepted_by);
CREATE INDEX invitations_by_expiry ON identity.invitations (expires_at);

ALTER TABLE identity.invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.invitations FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.invitations TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.invitations TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());
CREATE POLICY sweep ON identity.invitations TO identity_platform USING (expires_at < now() - interval '30 days');

CREATE TRIGGER touch BEFORE UPDATE ON identity.invitations FOR EACH ROW EXECUTE FUNCTION identity.touch();
CREATE TRIGGER parents_live AFTER INSERT ON identity.invitations REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.parents_live('tenants', 'p.id = n.tenant_id', 'tenant_not_found');

GRANT SELECT, INSERT, DELETE,
      UPDATE (token_hash, invited_by, inviter_tenant_id, expires_at, accepted_at, accepted_by, withdrawn_at)
    ON identity.invitations TO identity_app;
GRANT SELECT (tenant_id, id, expires_at), UPDATE (updated_at), DELETE ON identity.invitations TO identity_platform;

COMMENT ON TABLE identity.invitations IS 'Who is asked to become a user, or to take access as the user that they are. Whether there is a user of that address is not looked at before somebody accepts.';
COMMENT ON COLUMN identity.invitations.token_hash IS 'SHA-256 of the token that was sent last: the one before it is good no more.';
COMMENT ON COLUMN identity.invitations.invited_by IS 'Who made it, or sent it last: management scopes are given for as long as they hold these themselves. NULL: a program that works with the database.';
COMMENT ON COLUMN identity.invitations.inviter_tenant_id IS 'Theirs, where invited_by is found: this one, or the platform.';
COMMENT ON COLUMN identity.invitations.accepted_by IS 'The user that came of it: purged, they take it along, with their address.';

CREATE TABLE identity.invitation_access (
    tenant_id     text COLLATE "C" NOT NULL,
    invitation_id text COLLATE "C" NOT NULL,
    app_id        text COLLATE "C" NOT NULL,
    scopes        text[]      NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT invitation_access_taken PRIMARY KEY (tenant_id, invitation_id, app_id),
    CONSTRAINT invitation_not_found FOREIGN KEY (tenant_id, invitation_id) REFERENCES identity.invitations ON DELETE CASCADE,
    CONSTRAINT app_not_found FOREIGN KEY (tenant_id, app_id) REFERENCES identity.apps ON DELETE CASCADE
);
CREATE INDEX invitation_access_by_app ON identity.invitation_access (tenant_id, app_id);

ALTER TABLE identity.invitation_access ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.invitation_access FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.invitation_access TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.invitation_access TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());

CREATE TRIGGER touch BEFORE UPDATE ON identity.invitation_access FOR EACH ROW EXECUTE FUNCTION identity.touch();
CREATE TRIGGER judge_scopes BEFORE INSERT ON identity.invitation_access
    FOR EACH ROW EXECUTE FUNCTION identity.judge_scopes();
CREATE TRIGGER parents_live AFTER INSERT ON identity.invitation_access REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.parents_live(
        'apps', 'p.tenant_id = n.tenant_id AND p.id = n.app_id', 'app_not_found');

GRANT SELECT, INSERT, DELETE ON identity.invitation_access TO identity_app;

COMMENT ON TABLE identity.invitation_access IS 'What accepting an invitation gives, judged when it is made as a grant would be, and again when it is given.';
