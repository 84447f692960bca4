-- Roles belong to the cluster, not to the database: so this is no migration, and may run any number of times,
-- by any login that is superuser, or that has CREATEROLE and owns the database (as managed PostgreSQL gives).
--
--   identity_owner     owns the schema; migrations run as it. It has policies too: under FORCE a backfill would
--                      else touch no row, and a foreign key validate over orphans, both in silence.
--   identity_app       the service, inside one tenant's scope.
--   identity_verifier  the look-ups of keys: the judged columns of all tenants, and nothing else.
--   identity_platform  what is about tenants as such: listing them, finding one by its domain.
--   identity_reader    owner of the views through which filters may use indexes that are not leakproof.
--
-- None of them is ever granted to another but reader to owner (which lets a migration own views as reader): a policy
-- TO a role applies also to whoever inherits from it.
DO $$
DECLARE
    made    text;
    pg16    boolean := current_setting('server_version_num')::int >= 160000;
    options text := CASE WHEN pg16 THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END;
BEGIN
    FOREACH made IN ARRAY ARRAY['identity_owner', 'identity_app', 'identity_verifier', 'identity_platform', 'identity_reader'] LOOP
        BEGIN
            IF to_regrole(made) IS NULL THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', made);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;                               -- another database of this cluster made it meanwhile
        END;
        -- from 16 on CREATEROLE makes its maker a member that may administer but not SET ROLE
        IF NOT pg_has_role(session_user, made, CASE WHEN pg16 THEN 'SET' ELSE 'MEMBER' END) THEN
            EXECUTE format('GRANT %I TO %I', made, session_user) || options;
        END IF;
    END LOOP;
    IF NOT pg_has_role('identity_owner', 'identity_reader', 'MEMBER') THEN
        EXECUTE 'GRANT identity_reader TO identity_owner' || options;
    END IF;
    EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO identity_owner', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO identity_app', current_database());
END $$;

DO $$
BEGIN
    IF to_regnamespace('identity') IS NULL THEN
        SET LOCAL ROLE identity_owner;
        CREATE SCHEMA identity;
        COMMENT ON SCHEMA identity IS 'Tenants, their apps, branches and users, who may use which app, and the keys with which services call.';
        GRANT USAGE ON SCHEMA identity TO identity_app, identity_verifier, identity_platform, identity_reader;
    END IF;
END $$;
