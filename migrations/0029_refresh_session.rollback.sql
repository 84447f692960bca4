DROP FUNCTION identity.refresh_session;
