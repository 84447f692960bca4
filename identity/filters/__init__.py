"""The language of lists: what may be asked of them, judged against a closed table of attributes, and told in SQL."""

from identity.filters.attributes import Attribute, Document, Instant, Name, Text, Texts
from identity.filters.search import TIMEOUT, Filter, Search, too_expensive

Attributes = dict[str, Attribute]

__all__ = [
    "TIMEOUT",
    "Attribute",
    "Attributes",
    "Document",
    "Filter",
    "Instant",
    "Name",
    "Search",
    "Text",
    "Texts",
    "too_expensive",
]
