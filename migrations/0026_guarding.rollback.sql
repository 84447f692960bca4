DROP TRIGGER rank_raised ON identity.app_keys;
DROP TRIGGER rank_given ON identity.app_keys;
DROP TRIGGER rank_raised ON identity.user_apps;
DROP TRIGGER rank_given ON identity.user_apps;
DROP FUNCTION identity.end_what_waits;

DROP TRIGGER judge_new_scopes ON identity.user_apps;
DROP TRIGGER judge_scopes ON identity.user_apps;
CREATE TRIGGER judge_scopes BEFORE INSERT OR UPDATE OF scopes ON identity.user_apps FOR EACH ROW
    EXECUTE FUNCTION identity.judge_scopes();
