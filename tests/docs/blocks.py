"""The code blocks of the documentation, with what a comment before each says of it.

A block of `sh` or `python` runs, in the order of its page, in the directory that the tutorial leaves behind. Comments,
which no reader of the site sees, change that:

    <!-- not run: needs a board -->     the block is only checked: options exist, Python compiles, imports resolve
    <!-- exit code: 3 -->               the block ends so
    <!-- file: run.yaml -->             the block is written to this file, as the reader is told to
    <!-- yaml: dataset.yaml -->         what a block of YAML is, unless a run file or a part of one
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
TUTORIAL = "tutorials/first-search.md"
_COMMENT = re.compile(r"<!-- (not run|file|yaml|exit code): (.+?) -->")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: path below docs/.
        line: of its opening fence, from 1.
        language: as the fence says; empty where it does not.
        text: between the fences.
        remarks: what comments right before it say, by kind.
    """

    page: str
    line: int
    language: str
    text: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Where it stands, for messages."""
        return f"docs/{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether it is executed."""
        return (
            self.language in {"sh", "python"} and "not run" not in self.remarks and "file" not in self.remarks
        )


def pages() -> list[str]:
    """Return the pages whose blocks are tried: all but those of results, whose commands take hours."""
    found = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    return sorted(page for page in found if not page.startswith("results/"))


def blocks_of(page: str) -> Iterator[Block]:
    """Yield the blocks of a page."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    number, remarks = 0, dict[str, str]()
    while number < len(lines):
        line = lines[number]
        number += 1
        fence = re.match(r"(`{3,})(\{?[\w-]*\}?)", line)
        if fence is None:
            found = _COMMENT.fullmatch(line.strip())
            if found:
                remarks[found[1]] = found[2]
            elif line.strip():
                remarks = {}
            continue
        first = number
        while number < len(lines) and lines[number] != fence[1]:
            number += 1
        yield Block(page, first, fence[2], "\n".join(lines[first:number]) + "\n", remarks)
        number, remarks = number + 1, {}
