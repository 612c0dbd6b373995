"""Choosing by name from a table, and what is said of a wrong name."""

import pytest

from scoresde_jax import tables


def add(x, *, to=0, times=1):
    return times * (x + to)


TABLE = {"add": add, "identity": lambda x: x}


def test_select_binds_the_rest_of_the_section():
    assert tables.select(TABLE, {"name": "add", "to": 2, "times": 3}, "config.a")(1) == 9
    assert tables.select(TABLE, {"name": "identity"}, "config.a")(1) == 1


def test_unknown_name_lists_the_known_and_the_nearest():
    with pytest.raises(ValueError) as error:
        tables.select(TABLE, {"name": "ad"}, "config.a")
    message = str(error.value)
    assert message == "config.a.name is 'ad'; known: add, identity. Did you mean 'add'?"


def test_unknown_name_with_nothing_near_suggests_nothing():
    with pytest.raises(ValueError) as error:
        tables.lookup(TABLE, "zzz", "config.a.name")
    assert str(error.value) == "config.a.name is 'zzz'; known: add, identity."


def test_unknown_key_lists_the_known_and_the_nearest():
    with pytest.raises(ValueError) as error:
        tables.select(TABLE, {"name": "add", "tmies": 3}, "config.a")
    message = str(error.value)
    assert "config.a has no key 'tmies'" in message
    assert "times" in message and "Did you mean 'times'?" in message
