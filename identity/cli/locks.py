"""Which lock a statement of a migration takes, and on which table (PostgreSQL manual, section 13.3)."""

from __future__ import annotations

import re

WRITES = "ROW EXCLUSIVE"
TRIGGERED = ", and on what its triggers write"
"""Which tables these are, a statement does not tell; the lock that they get is no stronger than its own."""

_NAME = r'(?:IF (?:NOT )?EXISTS\s+)?(?:ONLY\s+)?([\w."]+)'
_RULES = (
    (r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\b.*?\bON\s+" + _NAME, "SHARE UPDATE EXCLUSIVE"),
    (r"DROP\s+INDEX\s+CONCURRENTLY\s+" + _NAME, "SHARE UPDATE EXCLUSIVE"),
    (r"CREATE\s+(?:UNIQUE\s+)?INDEX\b.*?\bON\s+" + _NAME, "SHARE"),
    (r"CREATE\s+(?:CONSTRAINT\s+)?TRIGGER\b.*?\bON\s+" + _NAME, "SHARE ROW EXCLUSIVE"),
    (r"(?:CREATE|ALTER|DROP)\s+POLICY\b.*?\bON\s+" + _NAME, "ACCESS EXCLUSIVE"),
    (r"DROP\s+TRIGGER\b.*?\bON\s+" + _NAME, "ACCESS EXCLUSIVE"),
    (
        r"ALTER\s+TABLE\s+" + _NAME + r"\s+(?:VALIDATE\b|SET\s*\(|ALTER\s+(?:COLUMN\s+)?\w+\s+SET\s+STATISTICS)",
        "SHARE UPDATE EXCLUSIVE",
    ),
    (r"ALTER\s+TABLE\s+" + _NAME + r"\s+ADD\s+(?:CONSTRAINT\s+\w+\s+)?FOREIGN\b", "SHARE ROW EXCLUSIVE"),
    (r"ALTER\s+TABLE\s+" + _NAME + r"\s+(?:EN|DIS)ABLE\s+(?:ALWAYS\s+|REPLICA\s+)?TRIGGER\b", "SHARE ROW EXCLUSIVE"),
    (r"ALTER\s+TABLE\s+" + _NAME, "ACCESS EXCLUSIVE"),
    (r"DROP\s+(?:TABLE|INDEX|VIEW)\s+" + _NAME, "ACCESS EXCLUSIVE"),
    (r"TRUNCATE\s+(?:TABLE\s+)?" + _NAME, "ACCESS EXCLUSIVE"),
    (r"COMMENT\s+ON\s+TABLE\s+" + _NAME, "SHARE UPDATE EXCLUSIVE"),
    (r"COMMENT\s+ON\s+COLUMN\s+([\w\"]+\.[\w\"]+)", "SHARE UPDATE EXCLUSIVE"),
    (r"INSERT\s+INTO\s+" + _NAME, WRITES),
    (r"UPDATE\s+" + _NAME, WRITES),
    (r"DELETE\s+FROM\s+" + _NAME, WRITES),
)

_LOCKS_NOTHING = (
    r"(CREATE|ALTER|DROP)\s+(OR\s+REPLACE\s+)?(FUNCTION|SEQUENCE|VIEW|TYPE|SCHEMA)\b|GRANT\b|REVOKE\b|COMMENT\b"
)


def lock_of(statement: str, made: set[str]) -> str:
    """Its lock, for people. `made` gathers the tables that the plan itself makes, on which nobody can wait."""
    text = re.sub(r"--[^\n]*", "", statement).strip()
    if created := re.match(r"CREATE\s+TABLE\s+" + _NAME, text, re.IGNORECASE):
        made.add(created[1])
        others = [name for name in dict.fromkeys(re.findall(r"REFERENCES\s+([\w.]+)", text)) if name not in made]
        return f"SHARE ROW EXCLUSIVE on {', '.join(others)}" if others else "none (a new table)"
    for pattern, lock in _RULES:
        if found := re.match(pattern, text, re.IGNORECASE | re.DOTALL):
            names = [found[1], *re.findall(r"REFERENCES\s+([\w.]+)", text)]
            others = [name for name in dict.fromkeys(names) if name not in made]
            triggered = TRIGGERED if lock == WRITES else ""
            return f"{lock} on {', '.join(others)}{triggered}" if others else "none (a new table)"
    return "none on any table" if re.match(_LOCKS_NOTHING, text, re.IGNORECASE) else "cannot be told: read it"
