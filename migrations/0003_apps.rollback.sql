DROP TABLE identity.apps;
