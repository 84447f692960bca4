-- The database as it is today, in the order in which it can be made:
--   psql --set ON_ERROR_STOP=1 --file schema/schema.sql
-- migrations/ is how it got there; a test proves the two equal.
\ir roles.sql
SET ROLE identity_owner;
SET search_path = identity;
\ir functions.sql
\ir tenants.sql
\ir apps.sql
\ir branches.sql
\ir users.sql
\ir user_apps.sql
\ir app_keys.sql
\ir key_last_uses.sql
\ir key_limits.sql
\ir tenant_counters.sql
\ir idempotency_keys.sql
\ir tenant_changes.sql
\ir key_leaks.sql
\ir key_usage.sql
\ir signing_keys.sql
\ir passwords.sql
\ir sessions.sql
\ir sign_ins.sql
\ir factors.sql
\ir invitations.sql
