DROP TRIGGER end_sessions ON identity.user_apps;
DROP FUNCTION identity.end_sessions_of_access;
DROP TRIGGER end_sessions ON identity.users;
DROP FUNCTION identity.end_sessions_of_user;
