#!/usr/bin/env python
"""Merge the news snippets into the page of a release: docs/source/whatsnew/pr/*.rst -> whatsnew/version-X.Y.rst.

    python tools/merge_news.py VERSION [--keep] [--date YYYY-MM-DD]

The snippets are removed once the page is written. Snippets merged later for the same version are added to its page.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import argparse
import datetime
import re
import sys
from pathlib import Path

NEWS = Path(__file__).resolve().parent.parent / "docs" / "source" / "whatsnew"

# In a page of our own the release is the title, so that a snippet's title becomes a section.
PAGE_MARK, SECTION_MARK = "=", "-"


def main(arguments: list[str]) -> int:
    """Write the page and return the exit status: 0, or 1 when there is no news, or a snippet without a title."""
    options = parse(arguments)
    snippets = sorted((options.news / "pr").glob("*.rst"))
    if not snippets:
        return refuse(f"no snippets in {options.news / 'pr'}")
    untitled = [path.name for path in snippets if not split_title(path.read_text(encoding="utf-8"))[0]]
    if untitled:
        return refuse(f"no underlined title at the top of {', '.join(untitled)}")
    page = merge(options.news, options.version, options.date, snippets)
    if not options.keep:
        for path in snippets:
            path.unlink()
    print(f"{len(snippets)} snippets merged into {page}")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="merge_news", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("version", type=version, help="of the release, such as 0.2 or 1.0.1")
    parser.add_argument("--keep", action="store_true", help="leave the snippets where they are")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="of the release (default: today)")
    parser.add_argument("--news", type=Path, default=NEWS, help="the directory of the pages (default: %(default)s)")
    return parser.parse_args(arguments)


def version(text: str) -> str:
    """A version that can be part of a file name."""
    if not re.fullmatch(r"\d+(\.\d+)*([a-z]+\d+)?", text):
        raise argparse.ArgumentTypeError(f"not a version: {text!r}")
    return text


def refuse(reason: str) -> int:
    """Say why nothing was done."""
    print(f"merge_news: {reason}", file=sys.stderr)
    return 1


def merge(news: Path, release: str, date: str, snippets: list[Path]) -> Path:
    """Add the snippets to the page of the release, which is started if it is not there."""
    page = news / f"version-{release}.rst"
    text = page.read_text(encoding="utf-8") if page.exists() else heading(f"{release} ({date})", PAGE_MARK)
    sections = [as_section(path.read_text(encoding="utf-8")) for path in snippets]
    page.write_text("\n".join([text, *sections]), encoding="utf-8")
    return page


def as_section(snippet: str) -> str:
    """The snippet with its title one level down."""
    title, body = split_title(snippet)
    return heading(title, SECTION_MARK) + body.rstrip() + "\n"


def split_title(snippet: str) -> tuple[str, str]:
    """The title of a snippet and what follows it; an empty title when it does not start with one."""
    found = re.match(r"\s*(?P<title>\S.*)\n(?P<mark>[=-])(?P=mark)+[ \t]*\n", snippet)
    return (found["title"].rstrip(), snippet[found.end() :]) if found else ("", snippet)


def heading(title: str, mark: str) -> str:
    """A title, underlined."""
    return f"{title}\n{mark * len(title)}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
