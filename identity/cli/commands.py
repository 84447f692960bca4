"""The route table as commands: `identity NOUN VERB`, the path's ids as arguments in the path's order."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from identity.api import ROUTES
from identity.api.routes import PUBLIC, Route
from identity.api.strict_json import loads
from identity.cli.perform import perform, perform_list
from identity.cli.show import show_done, show_page, show_record
from identity.cli.usage import show_usage
from identity.errors import Invalid, StartError

NOUNS = {
    "tenants": "Organisations.",
    "apps": "What a tenant runs.",
    "branches": "Where an app is used: stores, offices.",
    "users": "People of a tenant.",
    "access": "Which user may use which app.",
    "invitations": "Who is asked to become a user.",
    "sessions": "Who is signed in where.",
    "mfa": "Second factors of users.",
    "keys": "App keys: the API keys with which services call.",
}
DEFAULTS = {("keys", "issue"): {"name": "admin"}}
NO_WAY_BACK = {("keys", "delete")}
"""Besides purge. All else that is deleted can be restored."""
SHOWN = {("keys", "usage"): show_usage}
"""What is no record."""

YES = typer.Option("--yes", help="Do not ask.")
NOW = typer.Option("--now", help="Also before its grace is over.")

Parameters = list[inspect.Parameter]


def nouns() -> dict[str, typer.Typer]:
    """A group of commands for each noun."""
    found = {noun: typer.Typer(help=about, no_args_is_help=True) for noun, about in NOUNS.items()}
    for (noun, verb), routes in _by_command():
        found[noun].command(verb, help=routes[-1].summary)(_command(routes))
    return found


def _by_command() -> Iterator[tuple[tuple[str, str], list[Route]]]:
    """Routes of one verb are one command, whose last ids may be left out: keys of an app, or of the tenant."""
    of_nouns = [
        route
        for route in ROUTES
        if route.noun in NOUNS and route.path.startswith("/v1/tenants") and route.scope != PUBLIC
    ]
    name = lambda route: (route.noun, route.verb)  # noqa: E731
    for key, routes in groupby(sorted(of_nouns, key=name), key=name):
        yield key, sorted(routes, key=lambda route: len(route.params))


def _command(routes: list[Route]) -> Callable[..., None]:
    """A function whose signature says to typer what the route takes."""
    longest = routes[-1]
    fields = _fields(longest)
    parameters = [*_arguments(routes), *_body(longest), *(_option(name, field) for name, field in fields.items())]
    parameters += _common(longest)

    def run(**given: Any) -> None:
        path = {name: given[name] for name in longest.params if given[name] is not None}
        route = next(route for route in routes if route.params == list(path))
        values = {
            field.alias or name: _value(name, field, given[name])
            for name, field in fields.items()
            if given[name] is not None
        }
        _run(route, path, values, given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _run(route: Route, path: dict[str, str], values: dict[str, Any], given: dict[str, Any]) -> None:
    if route.is_list:
        limit = None if given["everything"] else given["limit"]
        show_page(perform_list(route, path, values, limit), as_json=given["as_json"])
        return
    if route.where is not None:
        show = SHOWN.get((route.noun, route.verb), show_record)
        show(perform(route, path, None, query=values) or {}, as_json=given["as_json"])
        return
    body = _given_body(route, given, values)
    if _needs_asking(route) and not given["yes"]:
        confirm(f"{route.verb.capitalize()} {' '.join(path.values())} for good?")
    record = perform(route, path, body, purge_now=given.get("now", False))
    if record is not None and "items" in record and not given["as_json"]:
        show_page({"next": None, **record}, as_json=False)
    elif record is None:
        show_done(f"{' '.join(path.values())}: {route.verb} done.", as_json=given["as_json"])
    else:
        show_record(record, as_json=given["as_json"])


def confirm(question: str) -> None:
    """Beside standard output, which is the answer's."""
    typer.echo(f"{question} [y/N] ", err=True, nl=False)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise typer.Abort


def _fields(route: Route) -> dict[str, FieldInfo]:
    """What may be given by options: a list's equalities, or the body's members."""
    model = route.where or route.takes
    taken = {*route.params, *(["id"] if route.method == "PUT" else [])}
    return {name: field for name, field in model.model_fields.items() if name not in taken} if model else {}


def _needs_asking(route: Route) -> bool:
    return route.verb == "purge" or (route.noun, route.verb) in NO_WAY_BACK


def _arguments(routes: list[Route]) -> Parameters:
    required = routes[0].params
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if name in required else None,
            annotation=Annotated[
                str if name in required else str | None, typer.Argument(metavar=name.upper(), show_default=False)
            ],
        )
        for name in routes[-1].params
    ]


def _body(route: Route) -> Parameters:
    if route.takes is None:
        return []
    about = "A file with the whole as JSON, or - for standard input; options go before it."
    return [_parameter("body", str | None, None, typer.Argument(metavar="FILE", help=about, show_default=False))]


def _common(route: Route) -> Parameters:
    found = []
    if route.is_list:
        found.append(_parameter("limit", int, 50, typer.Option("--limit", min=1, help="At most so many.")))
        found.append(_parameter("everything", bool, False, typer.Option("--all", help="All there are.")))
    if route.method == "PATCH":
        about = "A field to set to nothing, or its default; may be given again."
        found.append(_parameter("unset", list[str] | None, None, typer.Option("--unset", metavar="FIELD", help=about)))
    if _needs_asking(route):
        found.append(_parameter("yes", bool, False, YES))
    if route.verb == "purge":
        found.append(_parameter("now", bool, False, NOW))
    found.append(_parameter("as_json", bool, False, typer.Option("--json", help="As JSON, for machines.")))
    return found


def _parameter(name: str, type: Any, default: Any, info: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[type, info])


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    kind = _kind(field.annotation)
    flag = f"--{field.alias or name.replace('_', '-')}"
    if kind is list:
        info = typer.Option(flag.removesuffix("s"), help=(field.description or "") + " May be given again.")
        return _parameter(name, list[str] | None, None, info)
    metavar = {dict: "JSON", str: "TEXT"}.get(kind)
    return _parameter(
        name, (str if kind is dict else kind) | None, None, typer.Option(flag, metavar=metavar, help=field.description)
    )


def _kind(annotation: Any) -> Any:
    """What a shell can give for it: text, a number, a choice, a switch, several, or JSON."""
    if get_origin(annotation) in (Union, types.UnionType):
        return _kind(next(each for each in get_args(annotation) if each is not type(None)))
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) is Literal or annotation in (bool, int):
        return annotation
    if get_origin(annotation) is tuple:
        return dict if _kind(get_args(annotation)[0]) is dict else list
    return dict if get_origin(annotation) is dict or hasattr(annotation, "model_fields") else str


def _value(name: str, field: FieldInfo, given: Any) -> Any:
    if _kind(field.annotation) is not dict:
        return given
    try:
        return loads(given.encode())
    except Invalid as error:
        detail = error.detail.replace("The body is", "It is")
        raise typer.BadParameter(detail, param_hint=f"--{name.replace('_', '-')}") from None


def _given_body(route: Route, given: dict[str, Any], values: dict[str, Any]) -> dict[str, Any] | None:
    """The file's members, and over them the options'."""
    if route.takes is None:
        return None
    body = _read(given["body"]) if given["body"] is not None else DEFAULTS.get((route.noun, route.verb), {})
    body = {**body, **values, **dict.fromkeys(given.get("unset") or ())}
    required = [name for name, field in _fields(route).items() if field.is_required() and route.method != "PATCH"]
    if missing := [name for name in required if name not in body]:
        raise typer.BadParameter(
            "needed, unless a FILE holds it", param_hint=" ".join(f"--{name.replace('_', '-')}" for name in missing)
        )
    return body


def _read(file: str) -> dict[str, Any]:
    try:
        body = loads(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
    except OSError as error:
        raise StartError(f"The file {file} cannot be read ({error.strerror}).") from None
    if not isinstance(body, dict):
        raise StartError(f"{'Standard input' if file == '-' else file} must hold one JSON object.")
    return body
