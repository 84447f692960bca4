-- depends: 0022_leaving
DROP TRIGGER judge_scopes ON identity.user_apps;
CREATE TRIGGER judge_scopes BEFORE INSERT ON identity.user_apps
    FOR EACH ROW EXECUTE FUNCTION identity.judge_scopes();
CREATE TRIGGER judge_new_scopes BEFORE UPDATE ON identity.user_apps
    FOR EACH ROW WHEN (NEW.scopes <> OLD.scopes) EXECUTE FUNCTION identity.judge_scopes();
