"""`.ci/licences.py`: what packages carry of other people's licences."""

import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent.parent / ".ci"))

import licences

ROOT = Path(__file__).resolve().parent.parent.parent


def test_what_is_written_down_is_what_is_linked_in():
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "licences.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_linked_in():
    linked = {name.split()[0] for name in licences.linked("x86_64-unknown-linux-gnu")}
    # What the extension is made of, and neither macros, nor build scripts, nor what only tests use.
    assert {"pyo3", "pyo3-ffi", "libc", "rustix", "memchr", "io-uring", "smallvec"} <= linked
    assert not linked & {
        "pyo3-macros",
        "syn",
        "pyo3-build-config",
        "target-lexicon",
        "proptest",
        "trybuild",
        "ferrio",
    }


def test_texts_are_printed_once():
    parts = [
        licences.Part("one 1", ["License: MIT"], {"LICENSE": "some words\n", "NOTICE": "others\n"}),
        licences.Part("two 2", ["License: MIT"], {"COPYING": "some words  \n"}),
    ]
    text = licences.written("What it is.", parts)
    assert text.count("some words") == 1
    assert "Text 1, of one 1, two 2" in text and "Text 2, of one 1" in text
    assert "    COPYING: text 1 below" in text


def test_a_change_is_found(tmp_path, monkeypatch, capsys):
    file = tmp_path / "crates.txt"
    monkeypatch.setattr(licences, "ROOT", tmp_path)
    monkeypatch.setattr(licences, "wanted", lambda: {file: "now\n"})
    assert licences.main(["--check"]) == 1
    assert licences.main([]) == 0
    assert licences.main(["--check"]) == 0
    file.write_text("then\n")
    assert licences.main(["--check"]) == 1
    assert "make licences" in capsys.readouterr().err
