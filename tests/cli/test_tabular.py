"""Tables as spreadsheets and programs write them are read as they were meant; what cannot be is told by its line."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from identity.cli.tables.reading import open_source
from identity.cli.tables.tabular import Dialect, Format, Row, Writer, escape, open_target, unescape
from identity.errors import StartError

TWO = [
    Row(2, {"Login": "ana", "Notes": "one\r\ntwo"}),
    Row(4, {"Login": "ben;,", "Notes": "Łódź"}),
]


def read(path: Path, encoding: str | None = None, format: Format | None = None) -> list[Row]:
    with open_source(str(path), format, encoding) as source:
        return list(source.rows)


def table(delimiter: str, end: str) -> str:
    lines = [f"Login{delimiter}Notes", f'ana{delimiter}"one\r\ntwo"', f'"ben;,"{delimiter}Łódź']
    return end.join(lines) + end


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"], ids=["crlf", "lf", "cr"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_excels_dialects_are_understood(tmp_path: Path, delimiter: str, end: str, encoding: str) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(table(delimiter, end).encode(encoding))
    assert read(file) == TWO


def test_another_encoding_is_named(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes("Login\nsøren\n".encode("cp1252"))
    assert read(file, "cp1252") == [Row(2, {"Login": "søren"})]
    with pytest.raises(typer.BadParameter, match="no encoding klingon"):
        read(file, "klingon")


def test_a_line_that_names_the_separator_is_no_header(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("sep=;\nLogin;Notes\nana;1,5,6\n")
    assert read(file) == [Row(3, {"Login": "ana", "Notes": "1,5,6"})]


def test_blank_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("\n\nLogin,Notes\n\nana,\n,\n , \nben\n")
    assert read(file) == [Row(5, {"Login": "ana", "Notes": ""}), Row(8, {"Login": "ben", "Notes": ""})]


def test_cells_beyond_the_header_are_kept_apart(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("Login\nana,García\n")
    with open_source(str(file)) as source:
        assert list(source.rows) == [Row(2, {"Login": "ana"}, ["García"])]


def test_columns_without_a_name_get_one(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("Login,,\nana,x,y\n")
    assert read(file) == [Row(2, {"Login": "ana", "column 2": "x", "column 3": "y"})]


@pytest.mark.parametrize("before", [0, 1, 7000, 70000])
def test_of_a_file_that_is_not_utf8_the_line_is_told(tmp_path: Path, before: int) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(b"Login\n" + b"somebody\n" * before + b"s\xf8ren\n" + b"somebody\n" * 5)
    with pytest.raises(StartError, match=rf"^Line {before + 2} of people\.csv is not UTF-8.*--encoding cp1252"):
        read(file)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "", "a.csv is empty"),
        ("a.csv", "\n \n", "a.csv is empty"),
        ("a.csv", "Login,Login\nana,ben\n", "column Login is there twice"),
        ("a.csv", 'Login\n"ana\n', "From line 2 on a.csv is not CSV"),
        ("a.csv", 'Login\nben\n"ana"x\n', "From line 3 on a.csv is not CSV"),
        ("a.csv", 'Login,"No\n', "From line 1 on a.csv is not CSV"),
        ("a.csv", "L\0o\0", "Line 1 of a.csv holds NULs"),
        ("a.jsonl", "", "a.jsonl is empty"),
        ("a.jsonl", '{"a": 1}\n[]\n', "Line 2 of a.jsonl is not a JSON object"),
        ("a.jsonl", '{"a": 1}\n\n{"a"\n', "Line 3 of a.jsonl cannot be read"),
        ("a.jsonl", '{"a": 1, "a": 2}\n', "Line 1 of a.jsonl cannot be read"),
        ("a.jsonl", '{"a": "\\u0000"}\n', "Line 1 of a.jsonl cannot be read"),
    ],
)
def test_what_is_no_table_is_told_by_its_line(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(StartError) as caught:
        read(tmp_path / name)
    assert told in str(caught.value)


def test_a_header_that_never_ends_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('username,height 5"\n' + "ana,1\n" * 200_000)
    started_s = time.monotonic()
    with pytest.raises(StartError, match="a quote is not closed"):
        read(tmp_path / "a.csv")
    assert time.monotonic() - started_s < 5, "it took 90 s for 40,000 lines when each line was counted with all before"


@pytest.mark.parametrize("encoding", ["rot13", "hex", "base64", "no such"])
def test_an_encoding_of_no_text_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_text("Login\nana\n")
    with pytest.raises(typer.BadParameter, match="there is no encoding"):
        read(tmp_path / "a.csv", encoding=encoding)


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"Login\n+2AA-\n")
    with pytest.raises(StartError, match=r"Line 2 of a\.csv holds half a character"):
        read(tmp_path / "a.csv", encoding="utf-7")


def test_a_cell_that_never_ends_is_not_gathered_for_ever(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('Login\n"' + "x\n" * 500_000)
    with pytest.raises(StartError, match=r"From line 2 on a\.csv is not CSV"):
        read(tmp_path / "a.csv")


def test_the_suffix_tells_the_format_unless_it_is_given(tmp_path: Path) -> None:
    line = json.dumps({"username": "ana", "metadata": {"a": [1, None]}}) + "\n"
    for name, format in (("a.jsonl", None), ("a.ndjson", None), ("a.csv", Format.JSONL)):
        (tmp_path / name).write_text("\ufeff" + line)
        assert read(tmp_path / name, format=format) == [Row(1, json.loads(line))]
    with pytest.raises(typer.BadParameter, match="--format"):
        read(tmp_path / "people.xls")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"Cannot read .*none\.csv"):
        read(tmp_path / "none.csv")


@given(st.text("'=+-@\t\ra\n", max_size=5) | st.text())
def test_a_formula_is_escaped_and_comes_back(text: str) -> None:
    escaped = escape(text)
    assert not escaped.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unescape(escaped) == text


@pytest.mark.parametrize("text", ["'tis", "''", "O'Brien", "", "a=b"])
def test_what_is_no_formula_is_left_alone(text: str) -> None:
    assert escape(text) == text
    assert unescape(text) == text


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20) | st.text(
    "'=+-@\t\r\n,;\"", max_size=5
)


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=5), st.sampled_from([",", ";", "\t"]))
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str
) -> None:
    file = tmp_path_factory.mktemp("t") / "a.csv"
    dialect, columns = Dialect(Format.CSV, "utf-8", delimiter), ["a", "=b", "c"]
    with open_target(str(file), dialect) as text:
        writer = Writer(text, dialect, columns)
        for row in rows:
            writer.write(dict(zip(columns, row, strict=True)))
    found = [list(row.cells.values()) for row in read(file)]
    assert found == [row for row in rows if any(escape(cell).strip() for cell in row)]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("as it was")
    with suppress(LookupError), open_target(str(file), Dialect(Format.CSV)) as text:
        text.write("half")
        raise LookupError
    assert [each.name for each in tmp_path.iterdir()] == ["a.csv"]
    assert file.read_text() == "as it was"
