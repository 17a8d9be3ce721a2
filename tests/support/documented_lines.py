"""The lines of commands in a page of the documentation, and the programs in each."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path


def shell_lines(page: Path) -> Iterator[str]:
    """Lines that begin with a program, those that end in a backslash with what follows."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"(?m)^    (?! )(.*)", text):
        if re.match(r"(?:[A-Z_]+=\S+ )*(?:smart-tuner|python|echo|make) ", line):
            yield line


def programs_in(line: str) -> Iterator[list[str]]:
    """The words of each program of a line, whose output may go to the next one."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("|&;"):
            yield words
            words = []
        elif words or not re.match(r"[A-Z_]+=", word):
            words.append(word)
