"""Hashes that other programs made, at small costs."""

from __future__ import annotations

import base64
import hashlib

PASSWORD = "lètmein über Ghent"
LONG = "ten words of one who will never be guessed by anybody, and more than bcrypt has ever taken: ñ"


def ssha(scheme: str, digest: str, salt: bytes) -> str:
    """As RFC 2307's successors have it."""
    made = hashlib.new(digest, PASSWORD.encode() + salt).digest()
    return f"{{{scheme}}}{base64.b64encode(made + salt).decode()}"


FOREIGN = {
    "argon2-cffi, argon2i": (
        "$argon2i$v=19$m=64,t=1,p=1$yzkVC1lqvCUDd5xHljusOg$FQ5KgALMT7H2zoS6DfULnkpiJmFbCe+bYCpRp7DUaC8"
    ),
    "Django, argon2": (
        "argon2$argon2id$v=19$m=64,t=1,p=8$c2Vhc2FsdHNlYXNhbHQ$O7rJIZoQvcJB9IiozRZnj+dX5yslJS1PyU7P6ZXBqJI"
    ),
    "bcrypt": "$2b$04$bf2s5W/lmRLIAqQbMKNuje3t8hGDK/TAxphTxsHGnUI23bkBxNZ9S",
    "libxcrypt, 2y": "$2y$04$abcdefghijklmnopqrstuuuVHdO9llyyp1OzECaQtAvyeEiNrRCT6",
    "Django, bcrypt": "bcrypt$$2b$04$F7DP1iFjbLmefCyC/dMan.gALQSfOzOvM87PdH0YeI9VwKhpgf.V6",
    "Django, bcrypt_sha256": "bcrypt_sha256$$2b$04$fO6fDP3nFEoSElUAjLvOkeYYhw95.xBM7YOBa.hzp9X7mcJ7Ht8JG",
    "Django, pbkdf2_sha256": "pbkdf2_sha256$1000$seasalt$kz/kUw0JpSj0puAWt275zI4PcgR2UCn6Wexy3gPnxrQ=",
    "Django, pbkdf2_sha1": "pbkdf2_sha1$1000$seasalt$TL9L6bif5yMWp1mQP1Gc0DDGbXA=",
    "Django, scrypt": (
        "scrypt$1024$seasalt$8$5$"
        "3fHVYyYVIC0hFck/7t9eU/d3j06YtK7vdhMnobuR/q1WjMpFwHdaBQWyruVoIdopvdzOwaTfN/mK2bGp3QhxYw=="
    ),
    "Werkzeug, scrypt": (
        "scrypt:1024:8:1$h4aIUKnQ$83af90196a6ed9fc5236e7684a21bdec23ce5e229874d5cebc563965727b7c55"
        "b3305691b7edeb0b398314ff7d2c9ec013c68182a6a2cd357e7c2cf4662b9db6"
    ),
    "Werkzeug, pbkdf2": (
        "pbkdf2:sha256:1000$vgVrvF63$14d8e22a0eaaf51c907da75854dcd633d554a0fcc66a83d4f2bad7d7ce25c49c"
    ),
    "libpass, pbkdf2": (
        "$pbkdf2-sha512$1000$xtj7X4uR0pqTklJqTcl5bw"
        "$t2ff2hdvtgHqDKhG730QLCYSkpu3pHQrASMlm6MGfNhvYinejuEFsonFIl1.9HZGbNqI3eDKEZFDnkJ6Ptj4lQ"
    ),
    "libpass, scrypt": "$scrypt$ln=4,r=8,p=1$BcA4RyjFWGtNKSXkfO8dAw$h2HSjfc2kDNf3EF3Lz81XCvovouS435xJFkoWXhv56I",
    "SSHA": ssha("SSHA", "sha1", b"salt"),
    "SSHA256": ssha("SSHA256", "sha256", b"saltsalt"),
    "SSHA512": ssha("SSHA512", "sha512", b"saltsaltsaltsalt"),
    "openssl passwd -5": "$5$seasaltseasalt$mRtiTRTKyw.CJaYqRnjPy0XLzCwajB/2z85oTTdf3s3",
    "openssl passwd -6": (
        "$6$seasaltseasalt$e9dgjZXK7G9S7ASRG745py44A76gjdEb6pURFDNKT4wKQMgM2lpaJeyrt3q0/t9o4O0KZAet2ltXYeOdjgXka0"
    ),
    "libxcrypt, with rounds": (
        "$6$rounds=1000$seasalt$zBfZFrFs5IvD07wJ7KPzTrSzmPMkPXCz.Rn9TyUH/oRKY5lWKR/D3tB.0xUpWIc4KZoHrgCJZ74KchoBP5HoO1"
    ),
    "phpBB": "$H$5CREyuNqzTeVWV30a5jBcmQ0nfir/1/",
}
"""Each of the same password."""
PHPASS = ("test12345", "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0")
"""From phpass's own tests, of the password beside it."""
