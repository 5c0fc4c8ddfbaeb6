"""Tables of captions as they are shared: an image's file name, and what is said of it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from dtbh.data.sources.delimited import delimited_rows, written
from dtbh.utils.files import check_regular

NAMES = ("image", "filename", "file_name", "file", "image_name", "image_id", "filepath", "path", "img")
CAPTIONS = ("caption", "captions", "text", "sentence", "sentences", "description", "comment", "transcript", "raw")
NUMBERED = re.compile(r"_?\d+")
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)


def read_caption_table(path: Path, problems: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Where each line stands, the image that it names, and its captions.

    A caption column may be numbered (``caption_1``, ``caption_2``), and a field may be a list as Python or NumPy
    writes it. Lines without a letter or digit in their captions are left out.
    """
    number = 1
    try:
        check_regular(path, "a table")
        table = written(path.read_bytes(), (*NAMES, *CAPTIONS))
        for number, row in delimited_rows(table, (*NAMES, *CAPTIONS)):
            row.pop("")
            name = next((column for column in NAMES if column in row), None)
            told = [column for column in row if NUMBERED.sub("", column.lower()) in CAPTIONS and column != name]
            if name is None or not told:
                problems.append(
                    f"{path}: wanted a column {' or '.join(NAMES[:3])} and one {' or '.join(CAPTIONS[:3])}; found "
                    f"{', '.join(row)} ({table.describe()})"
                )
                return
            said = [text for column in told for text in _sentences(row[column]) if any(c.isalnum() for c in text)]
            if not row[name].strip():
                problems.append(f"{path}: line {number}: its {name} is empty")
            elif said:
                yield f"{path}: line {number}", row[name].strip(), said
    except FileNotFoundError:
        problems.append(f"{path}: no such table of captions")
    except (OSError, ValueError, csv.Error) as error:
        problems.append(f"{path}: can't be read as a table after line {number} ({error})")


def _sentences(text: str) -> list[str]:
    """The sentences of a field: one, or those of a list, with commas between them or, as NumPy has it, without."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        quoted = QUOTED.findall(text)
        if quoted and not QUOTED.sub("", text[1:-1]).strip(" ,\r\n\t"):
            return [" ".join(re.sub(r"\\(.)", r"\1", one[1:-1].replace("\\n", " ")).split()) for one in quoted]
    return [text]
