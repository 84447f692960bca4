DROP TRIGGER judge_new_scopes ON identity.user_apps;
DROP TRIGGER judge_scopes ON identity.user_apps;
CREATE TRIGGER judge_scopes BEFORE INSERT OR UPDATE OF scopes ON identity.user_apps FOR EACH ROW
    EXECUTE FUNCTION identity.judge_scopes();
