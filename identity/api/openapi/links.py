"""Where an answer leads: what it holds, as the parameters of what one does next."""

from __future__ import annotations

from typing import Any

from identity.api.routes import Route

_OF_TENANT = {"tenant_id": "$response.body#/id"}
_OF_APP = {"tenant_id": "$response.body#/tenant_id", "app_id": "$response.body#/id"}
_OF_USER = {"tenant_id": "$response.body#/tenant_id", "user_id": "$response.body#/id"}
_IN_APP = {"tenant_id": "$response.body#/tenant_id", "app_id": "$response.body#/app_id"}
_OF_BRANCH = {**_IN_APP, "branch_id": "$response.body#/id"}
_OF_KEY = {**_IN_APP, "key_id": "$response.body#/id"}
_VERIFIED = {**_IN_APP, "key_id": "$response.body#/key_id"}


def _to(*names: str, **parameters: str) -> dict[str, Any]:
    return {name: {"operationId": name, "parameters": parameters} for name in names}


def _verify(key: str) -> dict[str, Any]:
    return {"verify_key": {"operationId": "verify_key", "requestBody": {"key": key}}}


_KEY = {
    **_verify("$response.body#/key"),
    **_to("get_key", "disable_key", "enable_key", "rotate_key", "revoke_key", "delete_key", **_OF_KEY),
}
_APP = _to("get_app", "disable_app", "enable_app", "delete_app", "create_branch", "issue_key", **_OF_APP)
_BRANCH = _to("get_branch", "disable_branch", "enable_branch", "delete_branch", **_OF_BRANCH)
_USER = _to("get_user", "suspend_user", "lock_user", "delete_user", "list_apps_of_user", **_OF_USER)

LINKS = {
    "create_a_tenant": _to("get_tenant", "create_app", "create_user", "suspend_tenant", "delete_tenant", **_OF_TENANT),
    "create_app": _APP,
    "put_app": _APP,
    "create_branch": _BRANCH,
    "put_branch": _BRANCH,
    "create_user": _USER,
    "put_user": _USER,
    "issue_key": _KEY,
    "rotate_key": _KEY,
    "revoke_key": _to("get_key", **_OF_KEY),
    "verify_key": {**_verify("$request.body#/key"), **_to("revoke_key", "disable_key", **_VERIFIED)},
}


def links(route: Route) -> dict[str, Any]:
    return LINKS.get(route.name, {})
