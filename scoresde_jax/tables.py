"""Choosing by name from a table, with a message that helps when the name is wrong."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any


def select(table: Mapping[str, Callable], section: Mapping[str, Any], where: str) -> Callable:
    """The row that a section names, with the rest of the section bound as keyword arguments.

    Raises:
      ValueError: unknown name or keyword (lists the known ones and the nearest), or a keyword
        that has no default is missing.
    """
    arguments = dict(section)
    chosen = lookup(table, arguments.pop("name"), f"{where}.name")
    parameters = inspect.signature(chosen).parameters
    for key in arguments:
        check_key(key, list(parameters), where)
    for key, parameter in parameters.items():
        keyword = parameter.kind is parameter.KEYWORD_ONLY
        if keyword and parameter.default is parameter.empty and key not in arguments:
            raise ValueError(
                f"{where}.name is {section['name']!r}, which needs {where}.{key}; this config does "
                "not have it, so start from a config file of the same kind."
            )
    return partial(chosen, **arguments)


def lookup(table: Mapping[str, Any], name: str, where: str) -> Any:
    """One row of a table; an unknown name raises ValueError with the known ones."""
    if name not in table:
        raise ValueError(f"{where} is {name!r}; known: {listed(table)}.{nearest(name, table)}")
    return table[name]


def check_key(key: str, known: list[str], where: str) -> None:
    """Raises ValueError for a key that is not known, with the nearest that is."""
    if key not in known:
        raise ValueError(
            f"{where} has no key {key!r}; known: {listed(known)}.{nearest(key, known)}"
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """The question "Did you mean ...?" for a message; nothing if no known name is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def listed(names: Iterable[str]) -> str:
    """Names as a message lists them."""
    return ", ".join(names)
