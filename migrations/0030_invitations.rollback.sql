DROP TABLE identity.invitation_access;
DROP TABLE identity.invitations;
