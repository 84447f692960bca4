-- depends: 0027_index_of_families
CREATE FUNCTION identity.forget_failures() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM identity.sign_in_failures
     WHERE (tenant_id, name) IN (
           SELECT tenant_id, name FROM identity.sign_in_failures
            WHERE (tenant_id, name) IN (SELECT tenant_id, unnest(ARRAY[id, '=' || id]) FROM old_rows)
            ORDER BY tenant_id, name FOR UPDATE);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION identity.forget_failures() FROM PUBLIC;
COMMENT ON FUNCTION identity.forget_failures IS
    'Failures of a user, by either name, go with the user: no foreign key can say so, since some are nobody''s, and whoever is given the id next would have them. Of its owner, since who sweeps sees only old ones.';
CREATE TRIGGER forget_failures AFTER DELETE ON identity.users REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION identity.forget_failures();
