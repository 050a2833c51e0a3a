"""Check values that a config gives against their rules."""

import math
from collections.abc import Mapping
from typing import Any

from .rules import Choice
from .spelling import did_you_mean


class WrongTypeError(TypeError, ValueError):
    """A value of a wrong type. Who handles wrong values handles it, too."""


def describe(value: Any) -> str:
    """Write a value for a message, with what may be wrong with it.

    Args:
        value: The value.

    Returns:
        str: Its ``repr``, and for a string that looks like a number, a bool
        or None a remark on that.
    """
    text = repr(value)
    if len(text) > 200:
        text = f'{text[:200]}...'
    if not isinstance(value, str):
        return text
    if value.strip() in ('True', 'False', 'None', 'true', 'false'):
        return f'{text} (a string: write it without quotes)'
    try:
        number = float(value)
    except ValueError:
        return text
    if math.isfinite(number):
        return f'{text} (a string: write it without quotes)'
    return f'{text} (a string)'


def find_choices(rule: Any) -> list[str]:
    """List the texts that a rule allows by name.

    Args:
        rule (Rule): The rule.

    Returns:
        list[str]: The texts.
    """
    if isinstance(rule, Choice):
        return rule.names
    inner = getattr(rule, 'rules', None) or [getattr(rule, 'rule', None)]
    return [c for one in inner if one is not None for c in find_choices(one)]


def check_value(name: str, value: Any, rule: Any) -> None:
    """Check a value.

    Args:
        name (str): What it is, for the message.
        value: The value.
        rule (Rule): What it should be.

    Raises:
        TypeError: If it is of another type.
        ValueError: If it is of that type, but out of its range.
    """
    error = rule.error(value)
    if error is not None:
        hint = did_you_mean(value, find_choices(rule))
        if error is TypeError:
            error = WrongTypeError
        raise error(
            f'{name} should be {rule.text}, but got {describe(value)}{hint}'
        )


def check_values(
    owner: str, rules: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    """Check the arguments of a component.

    Args:
        owner (str): Name of the component, for the message.
        rules (dict[str, Rule]): What the arguments should be, by name.
        values (dict): The arguments by name. Those without a rule pass.

    Raises:
        TypeError: If one is of another type.
        ValueError: If one is out of its range.
    """
    for name, rule in rules.items():
        if name in values:
            check_value(f'{owner}: {name}', values[name], rule)
