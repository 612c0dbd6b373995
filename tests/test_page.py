"""A page is whole, self-contained, and shows what it is given as it is."""

import io

import numpy as np
import pytest
from html_pages import Page
from PIL import Image

from scoresde_jax import page


def png(value):
    stream = io.BytesIO()
    Image.fromarray(np.full((3, 5), value, np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


HOSTILE = "<script src='http://x/y.js'></script> & \"quoted\""


@pytest.fixture
def whole():
    sections = [
        ("First " + HOSTILE, page.cards([(HOSTILE, HOSTILE)])),
        ("Second", page.table((HOSTILE, "b"), [(HOSTILE, 3)]) + page.paragraph(HOSTILE)),
        ("Third", page.picture(png(7), HOSTILE)),
        ("Fourth", page.slider([(png(1), HOSTILE), (png(2), "two")])),
        ("Fifth", page.settings({HOSTILE: {"b": {HOSTILE: HOSTILE}, "c": (1, 2)}})),
    ]
    return Page(page.document(HOSTILE, HOSTILE, sections))


def test_what_is_given_is_shown_and_nothing_of_it_is_markup(whole):
    assert whole.addresses == []
    assert whole.headings == ["First " + HOSTILE, "Second", "Third", "Fourth", "Fifth"]
    assert whole.text.count(HOSTILE) == 15
    assert "b." + HOSTILE in whole.text and "(1, 2)" in whole.text


def test_pictures_are_in_the_page(whole):
    assert [picture.flat[0] for picture in whole.pictures] == [7, 1, 2]
    assert all(picture.shape == (3, 5) for picture in whole.pictures)


def test_a_page_that_does_not_balance_or_asks_the_network_would_be_noticed():
    with pytest.raises(AssertionError):
        Page(page.document("a", "b", [("c", "<table><tr></table>")]))
    assert Page(page.document("a", "b", [("c", '<a href="http://x">y</a>')])).addresses
