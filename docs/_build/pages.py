"""Hook of mkdocs (`mkdocs.yml`): the pages, and the part of a page, that are made when the documents are built.

What is in them is made by the other files here, which know nothing of mkdocs: the reference from the package's
docstrings, the differences from the tests' expectations, the figures from the runs in `bench/results/kept`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import differences
import figures
from mkdocs.structure.files import File, Files
from reference import Reference

from bench.keep import kept_runs

FIGURES = "<!-- figures -->"
"""Where they stand in `docs/measured.md`."""


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages."""
    made = {f"reference/{name}": text for name, text in Reference(import_module("ferrio")).pages().items()}
    made["differences.md"] = differences.page()
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page's text, with the figures where the mark is."""
    return markdown.replace(FIGURES, figures.page(kept_runs())) if FIGURES in markdown else markdown
