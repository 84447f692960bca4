DROP TABLE identity.app_keys;
DROP FUNCTION identity.judge_scopes();
DROP FUNCTION identity.is_management_scope(text);
