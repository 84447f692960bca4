"""Introspection of app keys on the hot path. All else that may be asked about is the router's."""

from __future__ import annotations

import re
import time

from identity.api.call import Service
from identity.api.forms import Client, basic
from identity.api.hot import BEARER, Asking, Head, HotPath, allowed
from identity.api.introspection import BEARER as TOKEN_TYPE
from identity.api.keys import tell_one, visible
from identity.api.plain import Plain
from identity.api.plain_headers import FORM_TYPES, plain_headers
from identity.api.request_id import request_id
from identity.api.whole import HEAD_ENDS, WholeRequest
from identity.tokens import KEY
from identity.verify import Known, judge
from identity.verify.known import FOR_EVER_S
from identity.verify.verifier import Pair, digest

INACTIVE = b'{"active":false}'

_form = re.compile(rb"token=([0-9A-Za-z_]{1,128})(?:&token_type_hint=[0-9A-Za-z_]{0,128})?").fullmatch


class HotIntrospection:
    """Answers where one statement tells of the caller's key and of the one that is asked about."""

    def __init__(self, hot: HotPath) -> None:
        self.hot = hot

    def take(self, request: WholeRequest) -> bool:
        started_s = time.perf_counter()
        form = _form(request.body)
        head, client = (None, None) if form is None else _head_of(request)
        if form is None or head is None:
            return False
        asking = Asking(request, head, [Plain({"key": form[1].decode()})], started_s)
        pair = self.hot.ask_pair(asking)
        if pair is None:
            return False
        pair.batch.then(lambda _: self._told(asking, client, pair))
        return True

    def _told(self, asking: Asking, client: Client | None, pair: Pair) -> None:
        try:
            service: Service = self.hot.app.state.service
            its, known = service.verifier.pair(pair) or (None, None)
            caller = None if its is None or not _is_of(its, client) else allowed(its)
            if its is None or known is None or caller is None or known.is_limited:
                asking.request.hand_on()
            else:
                service.usage.count(its.tenant_id, its.key_id, "valid")
                known = visible(caller, known)
                code = judge(known, asking.asked[0])
                tell_one(service, known, code)  # which counts it
                self.hot.answer(asking, caller, _active(known) if code == "valid" else INACTIVE)
        except Exception as error:  # noqa: BLE001 - which the envelope tells
            self.hot.fail(asking, error)


def _head_of(request: WholeRequest) -> tuple[Head | None, Client | None]:
    """Of one with the same head as another before it is known where its credential stands."""
    if request.known is not None:
        return _read(request.data[request.known], None)
    found = plain_headers(list(request.scope["headers"]), FORM_TYPES)
    if found is None:
        return None, None
    authorization, given = found.get(b"authorization", b""), found.get(b"x-request-id")
    if authorization and given is None:
        at = request.data.find(authorization, 0, request.data.find(HEAD_ENDS))
        request.note = slice(at, at + len(authorization)) if at >= 0 else None
    return _read(authorization, given)


def _read(authorization: bytes, given: bytes | None) -> tuple[Head | None, Client | None]:
    """A key by itself, or with its app as a client of OAuth."""
    text, client = authorization[len(BEARER) :].decode("latin-1"), None
    if not authorization.startswith(BEARER):
        client = basic(authorization.decode("latin-1"))
        if client is None or client.secret is None:
            return None, None
        text = client.secret
    return Head(text, digest(text), request_id(given.decode("latin-1") if given else None), given is not None), client


def _is_of(its: Known, client: Client | None) -> bool:
    return client is None or (its.tenant_id, its.app_id) == (client.tenant_id, client.app_id)


def _active(its: Known) -> bytes:
    """An Introspection in JSON. What makes ids and scopes needs no escaping there."""
    client = f"{its.tenant_id}/{its.app_id}"
    exp = "" if its.expires_at_s == FOR_EVER_S else f'"exp":{int(its.expires_at_s)},'
    branch = "" if its.branch_id is None else f'"branch_id":"{its.branch_id}",'
    user = "" if its.user_id is None else f'"user_id":"{its.user_id}",'
    return (
        f'{{"active":true,"scope":"{" ".join(its.scopes)}","client_id":"{client}","token_type":"{TOKEN_TYPE}",{exp}'
        f'"sub":"{KEY}{its.key_id}","aud":"{client}","tenant_id":"{its.tenant_id}","app_id":"{its.app_id}",{branch}'
        f'{user}"key_id":"{its.key_id}","environment":"{its.environment}"}}'
    ).encode()
