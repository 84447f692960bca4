DROP TABLE identity.branches;
