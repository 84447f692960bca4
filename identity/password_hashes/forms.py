"""The forms in which password hashes are written, each with what of it is taken and how it is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from identity.password_hashes.checks import (
    MOST_ROUNDS,
    MOST_ROUNDS_IN_PYTHON,
    Parts,
    argon2_is_taken,
    bcrypt_is_taken,
    by_argon2,
    by_bcrypt,
    by_libpass,
    by_pbkdf2,
    by_scrypt,
    pbkdf2_is_taken,
    phpass_is_taken,
    scrypt_is_taken,
    sha_crypt_is_taken,
    ssha_is_taken,
)


@dataclass(frozen=True)
class Form:
    """One way to write a hash: which of it are taken, lest a single sign-in take long, or much, from all others."""

    name: str
    pattern: str
    at_most: str
    is_taken: Callable[[Parts], bool]
    check: Callable[[str, Parts], bool]
    """Whether a password makes it."""
    needs_extra: bool = True


_NUMBER = r"[1-9]\d{0,17}"
_SALT = r"(?P<salt>[A-Za-z0-9]{1,128})"
_HEX = r"(?P<hex>(?:[0-9a-f]{2}){16,64})"
_BASE64 = r"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_BARE64 = r"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2,3})?"
_DOTTED64 = _BARE64.replace("+/", "./")
_BCRYPT = r"\$2[aby]\$(?P<cost>0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]"
_SCRYPT_AT_MOST = (
    "with N a power of two, 128·N·r at most 128 MiB, p at most 16, 128·N·r·p at most 256 MiB, and 32 or 64 bytes of sum"
)
_PBKDF2_AT_MOST = f"with at most {MOST_ROUNDS:,} rounds"

FORMS = (
    Form(
        "Argon2",
        rf"(?:argon2)?(?P<hash>\$argon2(?:id|i|d)\$(?:v=(?:16|19)\$)?m=(?P<memory_kib>{_NUMBER}),t=(?P<passes>{_NUMBER}),"
        rf"p=(?P<lanes>{_NUMBER})\$(?=[^$]{{11,86}}\$){_BARE64}\$(?=.{{22,86}}\Z){_BARE64})",
        "with at most 128 MiB, 8 passes and 16 lanes",
        argon2_is_taken,
        by_argon2,
        needs_extra=False,
    ),
    Form(
        "bcrypt",
        rf"(?:bcrypt\$|bcrypt_(?P<digest>sha256)\$)?(?P<hash>{_BCRYPT})",
        "with a cost of at most 14",
        bcrypt_is_taken,
        by_bcrypt,
    ),
    Form(
        "Django's PBKDF2",
        rf"pbkdf2_(?P<digest>sha256|sha1)\$(?P<rounds>{_NUMBER})\${_SALT}\$(?P<base64>{_BASE64})",
        _PBKDF2_AT_MOST,
        pbkdf2_is_taken,
        by_pbkdf2,
        needs_extra=False,
    ),
    Form(
        "Werkzeug's PBKDF2",
        rf"pbkdf2:(?P<digest>sha256|sha512|sha1):(?P<rounds>{_NUMBER})\${_SALT}\${_HEX}",
        _PBKDF2_AT_MOST,
        pbkdf2_is_taken,
        by_pbkdf2,
        needs_extra=False,
    ),
    Form(
        "libpass's PBKDF2",
        rf"\$pbkdf2-(?P<digest>sha256|sha512)\$(?P<rounds>{_NUMBER})\$(?P<salt64>{_DOTTED64})\$(?P<base64>{_DOTTED64})",
        _PBKDF2_AT_MOST,
        pbkdf2_is_taken,
        by_pbkdf2,
        needs_extra=False,
    ),
    Form(
        "Django's scrypt",
        rf"scrypt\$(?P<n>{_NUMBER})\${_SALT}\$(?P<r>{_NUMBER})\$(?P<p>{_NUMBER})\$(?P<base64>{_BASE64})",
        _SCRYPT_AT_MOST,
        scrypt_is_taken,
        by_scrypt,
        needs_extra=False,
    ),
    Form(
        "Werkzeug's scrypt",
        rf"scrypt:(?P<n>{_NUMBER}):(?P<r>{_NUMBER}):(?P<p>{_NUMBER})\${_SALT}\${_HEX}",
        _SCRYPT_AT_MOST,
        scrypt_is_taken,
        by_scrypt,
        needs_extra=False,
    ),
    Form(
        "libpass's scrypt",
        rf"\$scrypt\$ln=(?P<log2>{_NUMBER}),r=(?P<r>{_NUMBER}),p=(?P<p>{_NUMBER})"
        rf"\$(?P<salt64>{_BARE64})\$(?P<base64>{_BARE64})",
        _SCRYPT_AT_MOST,
        scrypt_is_taken,
        by_scrypt,
        needs_extra=False,
    ),
    Form(
        "SSHA, SSHA256 and SSHA512",
        rf"\{{(?P<scheme>SSHA(?:256|512)?)\}}(?P<base64>{_BASE64})",
        "with a salt of 4 to 16 bytes",
        ssha_is_taken,
        by_libpass,
    ),
    Form(
        "SHA-256-crypt and SHA-512-crypt",
        r"\$(?:5(?=.*\$.{43}\Z)|6(?=.*\$.{86}\Z))\$(?:rounds=(?P<rounds>[1-9]\d{3,8})\$)?"
        r"[./A-Za-z0-9]{0,16}\$[./A-Za-z0-9]+",
        f"with at most {MOST_ROUNDS_IN_PYTHON:,} rounds",
        sha_crypt_is_taken,
        by_libpass,
    ),
    Form(
        "phpass",
        r"\$[PH]\$(?P<log2>[./A-Za-z0-9])[./A-Za-z0-9]{30}",
        "with 2^7 to 2^16 rounds",
        phpass_is_taken,
        by_libpass,
    ),
)
