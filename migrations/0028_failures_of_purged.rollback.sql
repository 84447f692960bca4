DROP TRIGGER forget_failures ON identity.users;
DROP FUNCTION identity.forget_failures();
