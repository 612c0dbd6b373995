"""A table goes between its two lines, and leaves the rest of the page alone."""

from benchmarks.pages import write_between


def test_only_what_is_between_changes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- a -->\nold\n<!-- b -->\nbelow\n")
    for text in ("new", "newer\nlines"):
        write_between(page, "<!-- a -->", "<!-- b -->", text)
        assert page.read_text() == f"above\n<!-- a -->\n\n{text}\n\n<!-- b -->\nbelow\n"
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]
