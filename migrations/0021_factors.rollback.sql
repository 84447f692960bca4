DROP TABLE identity.sign_in_challenges;
DROP TABLE identity.recovery_codes;
DROP TABLE identity.factors;
