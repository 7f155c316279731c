"""A recipe's dataclass as command line options: type and default of each field, and the comment beside it as help."""

from __future__ import annotations

import inspect
import io
import tokenize
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click


def recipe_options(recipe: type) -> Callable[[Callable], Callable]:
    """Decorator: one option for each field of the dataclass `recipe`; booleans become --name/--no-name, Literals a choice."""
    kinds, help_of = get_type_hints(recipe), comments(recipe)

    def decorate(command: Callable) -> Callable:
        for field in reversed(fields(recipe)):
            dashed = field.name.replace("_", "-")
            flag = f"--{dashed}/--no-{dashed}" if kinds[field.name] is bool else f"--{dashed}"
            text = help_of.get(field.name, "")
            option = click.option(
                flag,
                field.name,
                type=_kind(kinds[field.name]),
                default=field.default,
                show_default=True,
                help=text[:1].upper() + text[1:],
            )
            command = option(command)
        return command

    return decorate


def _kind(hint: Any) -> Any:
    return click.Choice(get_args(hint)) if get_origin(hint) is Literal else hint


def comments(recipe: type) -> dict[str, str]:
    """Field name -> the comment at the end of its line; empty where the source is not at hand."""
    inherited: dict[str, str] = {}
    for base in reversed(recipe.__mro__[1:-1]):
        inherited |= comments(base)
    try:
        source = inspect.getsource(recipe)
    except OSError:
        return inherited
    found: dict[int, str] = {}
    names: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.NAME:
            names.setdefault(line, token.string)
        elif token.type == tokenize.COMMENT:
            found[line] = token.string.lstrip("# ")
    known = {field.name for field in fields(recipe)}
    return inherited | {names[line]: text for line, text in found.items() if names.get(line) in known}


def changed(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """`--name asked, not stored` for each asked field that differs from the stored one."""
    pairs: Iterable[tuple[str, Any]] = ((name, value) for name, value in asked.items() if name in stored)
    return [f"--{name.replace('_', '-')} {value}, not {stored[name]}" for name, value in pairs if value != stored[name]]
