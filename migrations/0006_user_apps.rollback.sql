DROP TABLE identity.user_apps;
