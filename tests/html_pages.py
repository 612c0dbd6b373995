"""What a browser would find in a page: its pictures, scripts, and addresses."""

import base64
import html.parser
import io
import re

import numpy as np
from PIL import Image

VOID = {"meta", "link", "input", "img", "br"}


class Page(html.parser.HTMLParser):
    """Parses a page and notes what is in it; AssertionError where tags do not balance."""

    def __init__(self, text: str):
        super().__init__()
        self.pictures, self.addresses, self.text, self.headings = [], [], [], []
        self._open = []
        self.feed(text)
        self.close()
        assert self._open == []
        self.text = " ".join(self.text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "href") and not value.startswith(("#", "data:")):
                self.addresses.append(value)
            if name == "src" and tag == "img":
                kind, _, data = value.partition(",")
                assert kind == "data:image/png;base64"
                image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
                self.pictures.append(np.asarray(image))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open and self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] in ("style", "script"):
            self.addresses += re.findall(r"(?:https?:)?//[^\s'\"]+|url\([^)]*\)|@import.*", data)
            return
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)
        self.text.append(data)
