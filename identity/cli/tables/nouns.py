"""The nouns that can be imported: how their records look in a file, and how they are found and written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from identity.branches import Address, Branch, BranchChanges, BranchSettings, Contact, NewBranch
from identity.cli.tables.columns import Shape
from identity.db import Page
from identity.fields import Changes, Given, canonical
from identity.stores import Stores
from identity.users import NewUser, User, UserChanges

Name = tuple[str, str]
"""A column that names records, and a name in it, in canonical form."""


class Noun(ABC):
    """One noun of one tenant: the import and the export speak to its store through these few."""

    shape: ClassVar[Shape]
    new: ClassVar[type[Given]]
    changes: ClassVar[type[Changes]]
    spelling: ClassVar[dict[str, Callable[[str], str]]]
    """How the names of a column are compared."""

    def name(self, column: str, text: Any) -> Name:
        return column, self.spelling[column](str(text))

    def names(self, record: Any) -> list[Name]:
        found = ((column, getattr(record, column)) for column in self.spelling)
        return [self.name(column, text) for column, text in found if text is not None]

    @abstractmethod
    async def must_be(self, stores: Stores) -> None:
        """NotFound where what the records belong to is not there."""

    @abstractmethod
    async def hold(self, stores: Stores, names: Mapping[str, Sequence[str]]) -> Sequence[Any]: ...

    @abstractmethod
    async def create_many(self, stores: Stores, news: Sequence[Any]) -> Sequence[Any]: ...

    @abstractmethod
    async def update_many(self, stores: Stores, changes: Mapping[str, Any]) -> None: ...

    @abstractmethod
    async def replace(self, stores: Stores, new: Any) -> None: ...

    @abstractmethod
    async def move(self, stores: Stores, id: str, present: str, to: str) -> None:
        """By the noun's own verbs, from its present status."""

    async def known_hashes(self, stores: Stores, hashes: Mapping[str, str]) -> Sequence[str]:
        """The ids of those whose password has that very hash already."""
        return []

    async def set_hashes(self, stores: Stores, hashes: Mapping[str, str]) -> None:
        """Of their passwords, by id."""
        assert not hashes, "only users have passwords"

    @abstractmethod
    async def list(self, stores: Stores, after: str | None, limit: int) -> Page[Any]: ...


@dataclass(frozen=True)
class Users(Noun):
    """The users of a tenant."""

    tenant_id: str

    shape: ClassVar[Shape] = Shape(
        noun="user",
        fields=("id", "username", "email", "full_name", "status", "metadata"),
        documents={},
        names=("id", "username"),
        statuses=("active", "suspended", "locked"),
        unseen=("password_hash",),
        synonyms={
            **dict.fromkeys(("hashedpassword", "encryptedpassword"), "password_hash"),
            **dict.fromkeys(("userid", "externalid", "objectid"), "id"),
            **dict.fromkeys(("login", "loginname", "user", "account", "accountname", "samaccountname"), "username"),
            **dict.fromkeys(("userprincipalname", "upn", "benutzername", "usuario"), "username"),
            **dict.fromkeys(("mail", "emailaddress", "mailaddress", "primaryemail", "correo"), "email"),
            **dict.fromkeys(("name", "displayname", "realname", "nombre"), "full_name"),
            **dict.fromkeys(("state", "accountstatus"), "status"),
        },
    )
    new: ClassVar[type[Given]] = NewUser
    changes: ClassVar[type[Changes]] = UserChanges
    spelling: ClassVar[dict[str, Callable[[str], str]]] = {"id": str, "username": canonical, "email": canonical}

    async def must_be(self, stores: Stores) -> None:
        await stores.tenants.get(self.tenant_id)

    async def hold(self, stores: Stores, names: Mapping[str, Sequence[str]]) -> Sequence[User]:
        given = {"ids": names["id"], "usernames": names["username"], "emails": names["email"]}
        return await stores.users.hold_named(self.tenant_id, **given)

    async def create_many(self, stores: Stores, news: Sequence[NewUser]) -> Sequence[User]:
        return await stores.users.create_many(self.tenant_id, news)

    async def update_many(self, stores: Stores, changes: Mapping[str, UserChanges]) -> None:
        await stores.users.update_many(self.tenant_id, changes)

    async def replace(self, stores: Stores, new: NewUser) -> None:
        await stores.users.replace(self.tenant_id, new)

    async def move(self, stores: Stores, id: str, present: str, to: str) -> None:
        users = stores.users
        if present == "suspended":
            await users.activate(self.tenant_id, id)
        if to != "active":
            await (users.suspend if to == "suspended" else users.lock)(self.tenant_id, id)
        elif present == "locked":
            await users.unlock(self.tenant_id, id)

    async def known_hashes(self, stores: Stores, hashes: Mapping[str, str]) -> Sequence[str]:
        return await stores.passwords.known(self.tenant_id, hashes)

    async def set_hashes(self, stores: Stores, hashes: Mapping[str, str]) -> None:
        await stores.passwords.set_many(self.tenant_id, hashes)

    async def list(self, stores: Stores, after: str | None, limit: int) -> Page[User]:
        return await stores.users.list(self.tenant_id, after=after, limit=limit)


@dataclass(frozen=True)
class Branches(Noun):
    """The branches of an app."""

    tenant_id: str
    app_id: str

    shape: ClassVar[Shape] = Shape(
        noun="branch",
        fields=("id", "code", "name", "type", "status", "address", "contact", "settings", "metadata"),
        documents={
            "address": tuple(Address.model_fields),
            "contact": tuple(Contact.model_fields),
            "settings": tuple(BranchSettings.model_fields),
        },
        names=("id", "code"),
        statuses=("active", "disabled"),
        numbers=frozenset({("address", "latitude"), ("address", "longitude")}),
        json=frozenset(
            {("metadata",), ("settings",), ("settings", "business_hours"), ("settings", "features")},
        ),
        synonyms={
            **dict.fromkeys(("branchid",), "id"),
            **dict.fromkeys(("branchcode", "storecode", "storenumber", "number", "iata"), "code"),
            **dict.fromkeys(("branch", "branchname", "store", "storename", "displayname"), "name"),
            **dict.fromkeys(("kind", "branchtype"), "type"),
            **dict.fromkeys(("address", "streetaddress", "address1", "addressline1"), "address.street"),
            **dict.fromkeys(("city", "town"), "address.city"),
            **dict.fromkeys(("street",), "address.street"),
            **dict.fromkeys(("state", "region", "province"), "address.state"),
            **dict.fromkeys(("postalcode", "postcode", "zip", "zipcode"), "address.postal_code"),
            **dict.fromkeys(("country", "countrycode"), "address.country"),
            **dict.fromkeys(("latitude", "lat"), "address.latitude"),
            **dict.fromkeys(("longitude", "lon", "lng", "long"), "address.longitude"),
            **dict.fromkeys(("contact", "manager"), "contact.name"),
            **dict.fromkeys(("email", "mail", "emailaddress"), "contact.email"),
            **dict.fromkeys(("phone", "telephone", "phonenumber", "tel"), "contact.phone"),
            **{name: f"settings.{name}" for name in ("timezone", "currency", "language")},
        },
    )
    new: ClassVar[type[Given]] = NewBranch
    changes: ClassVar[type[Changes]] = BranchChanges
    spelling: ClassVar[dict[str, Callable[[str], str]]] = {"id": str, "code": str}

    async def must_be(self, stores: Stores) -> None:
        await stores.tenants.get(self.tenant_id)
        await stores.apps.get(self.tenant_id, self.app_id)

    async def hold(self, stores: Stores, names: Mapping[str, Sequence[str]]) -> Sequence[Branch]:
        return await stores.branches.hold_named(self.tenant_id, self.app_id, ids=names["id"], codes=names["code"])

    async def create_many(self, stores: Stores, news: Sequence[NewBranch]) -> Sequence[Branch]:
        return await stores.branches.create_many(self.tenant_id, self.app_id, news)

    async def update_many(self, stores: Stores, changes: Mapping[str, BranchChanges]) -> None:
        await stores.branches.update_many(self.tenant_id, self.app_id, changes)

    async def replace(self, stores: Stores, new: NewBranch) -> None:
        await stores.branches.replace(self.tenant_id, self.app_id, new)

    async def move(self, stores: Stores, id: str, present: str, to: str) -> None:
        verb = stores.branches.disable if to == "disabled" else stores.branches.enable
        await verb(self.tenant_id, self.app_id, id)

    async def list(self, stores: Stores, after: str | None, limit: int) -> Page[Branch]:
        return await stores.branches.list(self.tenant_id, self.app_id, after=after, limit=limit)


def by_column(noun: Noun, names: Iterable[Name]) -> dict[str, list[str]]:
    """Names as a store takes them: a list for each column."""
    found: dict[str, list[str]] = {column: [] for column in noun.spelling}
    for column, text in names:
        found[column].append(text)
    return found
