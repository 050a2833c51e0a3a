"""Rules for the values that a config gives."""

import math
import os
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Optional, Protocol


class Rule(Protocol):
    """What a value should be."""

    @property
    def text(self) -> str:
        """str: The rule, as in "a number > 0"."""

    def error(self, value: Any) -> Optional[type[Exception]]:
        """Find what a value is worth.

        Args:
            value: The value.

        Returns:
            type, optional: TypeError or ValueError, or None if the value
            follows the rule.
        """


@dataclass(frozen=True)
class Number:
    """A finite number in a range.

    Args:
        least (float, optional): The least that is allowed.
        above (float, optional): All that is allowed is larger.
        most (float, optional): The most that is allowed.
        below (float, optional): All that is allowed is smaller.
        whole (bool): Whether it is an int. Defaults to False.
    """

    least: Optional[float] = None
    above: Optional[float] = None
    most: Optional[float] = None
    below: Optional[float] = None
    whole: bool = False

    @property
    def text(self) -> str:
        """str: The rule."""
        kind = 'a whole number' if self.whole else 'a finite number'
        low = self.least if self.above is None else self.above
        high = self.most if self.below is None else self.below
        if low is None and high is None:
            return kind
        kind = 'a whole number' if self.whole else 'a number'
        if high is None:
            sign = '>=' if self.above is None else '>'
            return f'{kind} {sign} {low}'
        left = '[' if self.above is None else '('
        right = ']' if self.below is None else ')'
        return f'{kind} in {left}{low}, {high}{right}'

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`Rule`."""
        kind = Integral if self.whole else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            return ValueError if is_number else TypeError
        number: Any = value
        if (
            not math.isfinite(number)
            or (self.least is not None and number < self.least)
            or (self.above is not None and number <= self.above)
            or (self.most is not None and number > self.most)
            or (self.below is not None and number >= self.below)
        ):
            return ValueError
        return None


@dataclass(frozen=True)
class Flag:
    """True or False, and no text, which would count as True."""

    text: str = 'True or False'

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`Rule`."""
        return None if isinstance(value, bool) else TypeError


@dataclass(frozen=True)
class Text:
    """A string that is not empty.

    Args:
        text (str): The rule.
    """

    text: str = 'a string that is not empty'

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`Rule`."""
        if not isinstance(value, str):
            return TypeError
        return None if value.strip() else ValueError


@dataclass(frozen=True)
class File:
    """A path of a file, or a URL. It is not looked at, but for a folder."""

    text: str = 'the path of a file, or a URL'

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`Rule`."""
        if not isinstance(value, (str, os.PathLike)):
            return TypeError
        path = os.fspath(value)
        return ValueError if not path.strip() or os.path.isdir(path) else None


@dataclass(frozen=True)
class Choice:
    """One of some values.

    Args:
        choices (tuple): The values.
    """

    choices: tuple

    @property
    def text(self) -> str:
        """str: The rule."""
        if len(self.choices) == 1:
            return repr(self.choices[0])
        return f'one of {", ".join(map(str, self.choices))}'

    @property
    def names(self) -> list[str]:
        """list[str]: The values that are texts."""
        return [c for c in self.choices if isinstance(c, str)]

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`Rule`."""
        same = [c for c in self.choices if type(c) is type(value)]
        if not same and not any(
            value == choice and not isinstance(value, bool)
            for choice in self.choices
        ):
            return TypeError
        return None if value in self.choices else ValueError


@dataclass(frozen=True)
class ListOf:
    """A list or tuple of values that follow one rule.

    Args:
        rule (Rule): The rule.
        length (int, optional): How many there are. None means one or more.
    """

    rule: Any
    length: Optional[int] = None

    @property
    def text(self) -> str:
        """str: The rule."""
        if self.length is not None:
            return f'a list of {self.length} with each item {self.rule.text}'
        return f'a list with each item {self.rule.text}'

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`Rule`."""
        if not isinstance(value, (list, tuple)):
            return TypeError
        errors = [self.rule.error(item) for item in value]
        if TypeError in errors:
            return TypeError
        wrong_length = (
            not value if self.length is None else len(value) != self.length
        )
        return ValueError if wrong_length or any(errors) else None


@dataclass(frozen=True)
class Kind:
    """A value of some types, such as a dict.

    Args:
        text (str): The rule.
        kinds (tuple): The types.
    """

    text: str = 'a dict'
    kinds: tuple = (dict,)

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`Rule`."""
        return None if isinstance(value, self.kinds) else TypeError


@dataclass(frozen=True)
class AnyOf:
    """A value that follows one of some rules.

    Args:
        rules (tuple): The rules.
    """

    rules: tuple

    @property
    def text(self) -> str:
        """str: The rule."""
        return ', or '.join(rule.text for rule in self.rules)

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`Rule`."""
        errors = [rule.error(value) for rule in self.rules]
        if None in errors:
            return None
        return ValueError if ValueError in errors else TypeError


@dataclass(frozen=True)
class Absent:
    """None."""

    text: str = 'None'

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`Rule`."""
        return None if value is None else TypeError


def optional(rule: Any) -> AnyOf:
    """Allow None beside what a rule allows."""
    return AnyOf((rule, Absent()))


def one_or_list(rule: Any) -> AnyOf:
    """Allow a list beside one value that follows a rule."""
    return AnyOf((rule, ListOf(rule)))


FLAG = Flag()
TEXT = Text()
COUNT = Number(least=1, whole=True)
INDEX = Number(least=0, whole=True)
POSITIVE = Number(above=0)
WEIGHT = Number(least=0)
SHARE = Number(least=0, most=1)
