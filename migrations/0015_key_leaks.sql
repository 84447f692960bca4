-- depends: 0014_rotations
CREATE TABLE identity.key_leaks (
    tenant_id  text COLLATE "C" NOT NULL,
    key_id     text COLLATE "C" NOT NULL,
    number     int         NOT NULL,
    source     text        NOT NULL,
    url        text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT key_leak_taken PRIMARY KEY (tenant_id, key_id, number),
    CONSTRAINT key_not_found FOREIGN KEY (tenant_id, key_id) REFERENCES identity.app_keys ON DELETE CASCADE,
    CONSTRAINT number_invalid CHECK (number BETWEEN 1 AND 10),
    CONSTRAINT source_invalid CHECK (length(source) BETWEEN 1 AND 200),
    CONSTRAINT url_invalid CHECK (length(url) BETWEEN 1 AND 2000)
);

ALTER TABLE identity.key_leaks ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.key_leaks FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON identity.key_leaks TO identity_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON identity.key_leaks TO identity_app
    USING (tenant_id = identity.current_tenant()) WITH CHECK (tenant_id = identity.current_tenant());

CREATE TRIGGER touch BEFORE UPDATE ON identity.key_leaks FOR EACH ROW EXECUTE FUNCTION identity.touch();

GRANT SELECT, INSERT ON identity.key_leaks TO identity_app;

COMMENT ON TABLE identity.key_leaks IS 'Where somebody found a key that should not have been there. Told by whoever holds the whole text, which is anybody.';
COMMENT ON COLUMN identity.key_leaks.number IS 'Up to ten of a key: whoever found one could else fill the table with it.';
COMMENT ON COLUMN identity.key_leaks.url IS 'As it was told, and never fetched: it may lead anywhere.';
