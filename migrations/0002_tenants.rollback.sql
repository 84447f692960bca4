DROP TABLE identity.tenants;
