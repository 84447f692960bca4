"""The route table: each route says its method, path, scope, request and answer once. It makes the routing, the
authorisation, the OpenAPI document and the cross-tenant tests."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, get_origin

from pydantic import BaseModel

from identity.auth import SCOPES
from identity.db import Page

PUBLIC = "public"
"""In place of a scope: no credential."""
ANY_KEY = "any key"
"""In place of a scope: any live key of any app."""

MIB = 1024 * 1024

Handler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Route:
    """One method on one path."""

    noun: str
    method: str
    path: str
    scope: str
    handler: Handler
    takes: type[BaseModel] | None
    answers: Any
    status: int = 200
    where: type[BaseModel] | None = None
    """What its query may hold: the equalities of a list, say."""
    media: str = "application/json"
    """What it answers."""
    also: tuple[int, ...] = ()
    """Other statuses with which it answers the same."""
    raises: tuple[str, ...] = ()
    """The codes that only its handler knows of; the others follow from the rest of this table and from the schema."""
    platform_only: bool = False
    reaches_tombstones: bool = False
    body_optional: bool = False
    by_oneself: bool = False
    """A user's own access token needs no scope for it."""
    action: bool = False
    """Its last segment is a verb, so the parameter before it names what it acts on."""
    adds: bool = False
    """It makes nothing new, and yet sending it twice would do more than once."""
    needs_secret_key: bool = False
    """It seals or opens what others must open or have sealed: one made up for a command would not do."""
    max_body: int = MIB
    form: bool = False
    """Takes a form in place of JSON, as OAuth does (RFC 6749, appendix B)."""
    called: str | None = None
    """Its verb at the command line, where the first word of the handler's name would not do."""

    def __post_init__(self) -> None:
        if self.scope not in (*SCOPES, PUBLIC, ANY_KEY):
            raise ValueError(f"{self.method} {self.path} needs a scope, or must say that it is public")

    @property
    def params(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    @property
    def leaf(self) -> str | None:
        """The parameter that names what the route is about; None where it is about a list."""
        return self.params[-1] if self.params and (self.action or self.path.endswith("}")) else None

    @property
    def parents(self) -> list[str]:
        """The parameters that only say where, below the tenant."""
        return [name for name in self.params if name not in ("tenant_id", self.leaf)]

    @property
    def is_list(self) -> bool:
        """Whether it answers page by page."""
        return get_origin(self.answers) is Page

    @property
    def tells_oauth(self) -> bool:
        """Whether it tells what is wrong as OAuth does, and lets an app's web pages read that."""
        return self.form and self.scope == PUBLIC

    @property
    def name(self) -> str:
        return self.handler.__name__

    @property
    def makes(self) -> bool:
        """Whether sending it twice would make two of something."""
        return self.method == "POST" and self.status == 201 and self.scope != PUBLIC

    @property
    def makes_leaf(self) -> bool:
        """Whether it makes what its path names where there is none."""
        return self.method == "PUT" and self.takes is not None and "id" in self.takes.model_fields

    @property
    def is_done_once(self) -> bool:
        """Whether it honours an Idempotency-Key."""
        return self.makes or self.adds

    @property
    def verb(self) -> str:
        """What it does to its noun."""
        return self.called or self.name.split("_", 1)[0]

    @property
    def summary(self) -> str:
        """The first line of its handler's docstring."""
        return _docstring(self.handler)[0].removesuffix(".")

    @property
    def description(self) -> str:
        """The rest of it."""
        return " ".join(line.strip() for line in _docstring(self.handler)[1:]).strip()


def _docstring(handler: Handler) -> list[str]:
    return (handler.__doc__ or handler.__name__.replace("_", " ").capitalize()).strip().splitlines()


@dataclass
class Table:
    """The routes of one noun, declared above the functions that answer them."""

    noun: str
    routes: list[Route] = field(default_factory=list)

    def get(self, path: str, *, scope: str, answers: Any, **more: Any) -> Callable[[Handler], Handler]:
        return self._add("GET", path, scope=scope, answers=answers, **more)

    def post(
        self, path: str, *, scope: str, takes: type[BaseModel] | None, answers: Any, status: int = 201, **more: Any
    ) -> Callable[[Handler], Handler]:
        return self._add("POST", path, scope=scope, takes=takes, answers=answers, status=status, **more)

    def put(
        self, path: str, *, scope: str, takes: type[BaseModel] | None, answers: Any, **more: Any
    ) -> Callable[[Handler], Handler]:
        return self._add("PUT", path, scope=scope, takes=takes, answers=answers, **more)

    def patch(
        self, path: str, *, scope: str, takes: type[BaseModel], answers: Any, **more: Any
    ) -> Callable[[Handler], Handler]:
        return self._add("PATCH", path, scope=scope, takes=takes, answers=answers, **more)

    def delete(self, path: str, *, scope: str, answers: Any, **more: Any) -> Callable[[Handler], Handler]:
        return self._add("DELETE", path, scope=scope, answers=answers, status=204, **more)

    def action(
        self, path: str, *, scope: str, answers: Any, takes: type[BaseModel] | None = None, **more: Any
    ) -> Callable[[Handler], Handler]:
        return self._add(
            "POST", path, scope=scope, answers=answers, takes=takes, body_optional=True, action=True, **more
        )

    def _add(
        self, method: str, path: str, *, takes: type[BaseModel] | None = None, **more: Any
    ) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            self.routes.append(Route(self.noun, method, path, handler=handler, takes=takes, **more))
            return handler

        return add
