"""What somebody at the command line may do next, by the code of an error."""

from __future__ import annotations

STEPS = {
    "tenant_not_found": "Those there are: identity tenants list",
    "app_not_found": "Those there are: identity apps list TENANT",
    "branch_not_found": "Those there are: identity branches list TENANT APP",
    "user_not_found": "Those there are: identity users list TENANT",
    "key_not_found": "Those there are: identity keys list TENANT",
    "user_app_not_found": "Who may use it: identity access list TENANT APP",
    "username_taken": "Who has it: identity users list TENANT --username NAME",
    "email_taken": "Who has it: identity users list TENANT --email ADDRESS",
    "app_name_taken": "Who has it: identity apps list TENANT --name NAME",
    "branch_code_taken": "Who has it: identity branches list TENANT APP --code CODE",
    "domain_taken": "Who has it: identity tenants list --domain DOMAIN",
    "users_max_reached": "To raise it: identity tenants update TENANT --settings '{\"max_users\": N}'",
    "apps_max_reached": "To raise it: identity tenants update TENANT --settings '{\"max_apps\": N}'",
    "purge_too_early": "What is deleted is kept for IDENTITY_PURGE_AFTER_S seconds.",
    "key_not_live": "To see why: identity verify",
    "unavailable": "Does the database run, and does IDENTITY_DATABASE_URL name it?",
}
TAKEN = "What has it may be deleted and not yet purged: list with --deleted, then restore it or purge it."


def next_step(code: str) -> str | None:
    if code in ("tenant_taken", "app_taken", "branch_taken", "user_taken"):
        return TAKEN
    return STEPS.get(code)
