"""Invented organisations and people of several countries, for a demo: the n-th is always the same."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from random import Random

COMPANIES = (
    "Nordwind Logistik",
    "Café Alhambra",
    "Kestrel Outfitters",
    "Lumière Optique",
    "Tanaka Bookshops",
    "Okavango Travel",
    "Fjord & Fell",
    "Azulejo Hotels",
    "Bharat Spice Traders",
    "Marigold Pharmacies",
    "Ponte Vecchio Shoes",
    "Pampas Steakhouses",
)

NAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ES": (
        ("Ana", "Lucía", "Javier", "Íñigo", "Carmen", "Álvaro"),
        ("García", "Martínez", "Núñez", "Ibáñez", "Serrano"),
    ),
    "DE": (
        ("Jürgen", "Anke", "Sören", "Lena", "Matthias", "Käthe"),
        ("Müller", "Schäfer", "Groß", "Weiß", "Vogel"),
    ),
    "GB": (
        ("Olivia", "Harry", "Amelia", "George", "Niamh", "Rhys"),
        ("Smith", "O'Brien", "Taylor", "Evans", "MacLeod"),
    ),
    "FR": (
        ("Chloé", "François", "Zoé", "Rémi", "Hélène", "Loïc"),
        ("Lefèvre", "Dubois", "Moreau", "Gérard", "Faure"),
    ),
    "JP": (("Haruto", "Yui", "Sota", "Aoi", "Ren", "Hina"), ("Tanaka", "Satō", "Suzuki", "Itō", "Kobayashi")),
    "NG": (
        ("Chinedu", "Ngozi", "Emeka", "Adaeze", "Tunde", "Folake"),
        ("Okafor", "Adeyemi", "Balogun", "Eze", "Nwosu"),
    ),
    "IN": (("Aarav", "Diya", "Rohan", "Priya", "Vikram", "Ananya"), ("Sharma", "Patel", "Iyer", "Singh", "Reddy")),
    "PL": (("Łukasz", "Zofia", "Paweł", "Agnieszka", "Michał", "Żaneta"), ("Nowak", "Wójcik", "Król", "Zając", "Lis")),
    "BR": (("João", "Beatriz", "Thiago", "Letícia", "Caio", "Inês"), ("Silva", "Araújo", "Gonçalves", "Rocha", "Lima")),
}

CITIES: tuple[tuple[str, str, str, str, float, float], ...] = (
    ("MAD", "Madrid", "ES", "Europe/Madrid", 40.4168, -3.7038),
    ("BCN", "Barcelona", "ES", "Europe/Madrid", 41.3874, 2.1686),
    ("HAM", "Hamburg", "DE", "Europe/Berlin", 53.5511, 9.9937),
    ("MUC", "München", "DE", "Europe/Berlin", 48.1351, 11.582),
    ("LHR", "London", "GB", "Europe/London", 51.5074, -0.1278),
    ("LYS", "Lyon", "FR", "Europe/Paris", 45.764, 4.8357),
    ("KIX", "Osaka", "JP", "Asia/Tokyo", 34.6937, 135.5023),
    ("LOS", "Lagos", "NG", "Africa/Lagos", 6.5244, 3.3792),
    ("BLR", "Bengaluru", "IN", "Asia/Kolkata", 12.9716, 77.5946),
    ("KRK", "Kraków", "PL", "Europe/Warsaw", 50.0647, 19.945),
    ("GRU", "São Paulo", "BR", "America/Sao_Paulo", -23.5505, -46.6333),
    ("YYZ", "Toronto", "CA", "America/Toronto", 43.6532, -79.3832),
)

_LETTERS = str.maketrans({"ß": "ss", "ł": "l", "Ł": "L"})


@dataclass(frozen=True)
class Person:
    """Somebody who does not exist."""

    full_name: str
    country: str

    @property
    def login(self) -> str:
        """ana.garcia, for anybody's keyboard."""
        return ".".join(_ascii(part) for part in self.full_name.split()).lower()


def person(random: Random) -> Person:
    country = random.choice(tuple(NAMES))
    first, last = NAMES[country]
    return Person(f"{random.choice(first)} {random.choice(last)}", country)


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(letter for letter in plain if letter.isascii() and letter.isalpha())
