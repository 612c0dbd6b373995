"""`make check-report`: opens report.html in headless Chromium, as a reader would.

    python -m tests.check_report runs/demo/report.html

Fails on an error in the console, a picture that does not show, or a request for anything but the
file itself. Chromium is Debian's package: apt-get install chromium.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# Appended to a copy of the page: what the browser made of it, as text in the DOM.
PROBE = """
<script>
addEventListener('load', () => {
  const pictures = [...document.images];
  const broken = pictures.filter((p) => !(p.complete && p.naturalWidth > 0)).length;
  const asked = performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:'));
  const shown = [...document.querySelectorAll('.slider')].map(
    (box) => [...box.querySelectorAll('figure')].filter((f) => !f.hidden).length).join(' ');
  document.title = `probe pictures=${pictures.length} broken=${broken} asked=${asked.length}` +
    ` shown=[${shown}]`;
});
</script>
"""


def main() -> int:
    """Prints what was found; 1 if anything is wrong, 2 if there is no browser or no page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("page", type=pathlib.Path)
    page = parser.parse_args().page
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if browser is None:
        return _fail("there is no Chromium: apt-get install chromium")
    if not page.is_file():
        return _fail(f"there is no {page}; --mode report or make demo makes one")
    with tempfile.TemporaryDirectory() as folder:
        probed = pathlib.Path(folder) / "page.html"
        probed.write_text(page.read_text() + PROBE)
        found = open_page(browser, probed, pathlib.Path(folder))
    faults = found["errors"]
    if found["pictures"] == 0 or found["broken"]:
        faults.append(f"{found['broken']} of {found['pictures']} pictures do not show")
    if found["asked"]:
        faults.append(f"the page asked for {found['asked']} other files")
    if any(shown != 1 for shown in found["shown"]):
        faults.append(f"sliders show {found['shown']} pictures, not one each")
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if not faults:
        print(f"{page}: {found['pictures']} pictures, all of them shown; no error")
    return bool(faults)


def open_page(browser: str, page: pathlib.Path, scratch: pathlib.Path) -> dict:
    """What the browser says of a page that has the probe."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={scratch / 'user'}"]
    options += ["--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom"]
    done = subprocess.run(
        [browser, *options, page.resolve().as_uri()], capture_output=True, text=True, timeout=120
    )
    pattern = r"<title>probe pictures=(\d+) broken=(\d+) asked=(\d+) shown=\[([\d ]*)\]</title>"
    match = re.search(pattern, done.stdout)
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    if match is None:
        return {"pictures": 0, "broken": 0, "asked": 0, "shown": [], "errors": errors}
    pictures, broken, asked = map(int, match.groups()[:3])
    shown = [int(count) for count in match[4].split()]
    return {
        "pictures": pictures,
        "broken": broken,
        "asked": asked,
        "shown": shown,
        "errors": errors,
    }


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
