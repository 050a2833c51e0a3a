"""Which arguments a class or a function takes, bases included."""

import ast
import inspect
import textwrap
from collections.abc import Iterable
from functools import cache
from inspect import Parameter
from typing import Any, Callable, NamedTuple, Optional

from torch import nn

from .spelling import did_you_mean


class Arguments(NamedTuple):
    """What a component can be given.

    Attributes:
        parameters (dict[str, Parameter]): The arguments by name.
        required (tuple[str]): Those without a default.
        is_open (bool): Whether it may take others.
    """

    parameters: dict[str, Parameter]
    required: tuple[str, ...]
    is_open: bool


UNKNOWN = Arguments({}, (), True)


@cache
def find_arguments(component: Callable) -> Arguments:
    """Find what a class or a function can be given.

    ``**kwargs`` are followed into the base classes where a constructor does
    nothing with them but to hand them on.

    Args:
        component (Callable): The class or function.

    Returns:
        Arguments: Its arguments.
    """
    if not inspect.isclass(component):
        return _of_function(component)
    if component.__new__ is not object.__new__:
        return UNKNOWN
    parameters: dict[str, Parameter] = dict()
    required: tuple[str, ...] = ()
    given: set[str] = set()
    num_given = 0
    for base in component.__mro__:
        if base in (object, nn.Module):
            return Arguments(parameters, required, False)
        if '__init__' not in base.__dict__:
            continue
        own = _own_parameters(base)
        if own is None:
            return UNKNOWN
        named = [p for p in own if p.kind in _NAMED]
        for index, parameter in enumerate(named):
            if index >= num_given and parameter.name not in given:
                parameters.setdefault(parameter.name, parameter)
        required += tuple(
            p.name
            for index, p in enumerate(named)
            if p.default is Parameter.empty
            and index >= num_given
            and p.name not in given
            and p.name not in required
        )
        rest = [p.name for p in own if p.kind is Parameter.VAR_KEYWORD]
        if not rest:
            return Arguments(parameters, required, False)
        handed_on = _find_handed_on(base.__dict__['__init__'], rest[0])
        if handed_on is None:
            return Arguments(parameters, required, True)
        num_given, given = handed_on
    return Arguments(parameters, required, True)


_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def _of_function(function: Callable) -> Arguments:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return UNKNOWN
    named = {p.name: p for p in parameters if p.kind in _NAMED}
    return Arguments(
        named,
        tuple(n for n, p in named.items() if p.default is Parameter.empty),
        any(p.kind is Parameter.VAR_KEYWORD for p in parameters),
    )


def _own_parameters(base: type) -> Optional[list[Parameter]]:
    """Parameters of the constructor of one class, without ``self``."""
    try:
        signature = inspect.signature(base.__dict__['__init__'])
    except (TypeError, ValueError):
        return None
    return list(signature.parameters.values())[1:]


def _find_handed_on(
    constructor: Any, rest: str
) -> Optional[tuple[int, set[str]]]:
    """Find what a constructor hands to the next class beside ``**kwargs``.

    Returns:
        tuple, optional: Number of arguments by position, and names of the
        others. None if it does more with ``**kwargs``.
    """
    try:
        source = textwrap.dedent(inspect.getsource(constructor))
        tree = ast.parse(source)
    except (OSError, SyntaxError, TypeError):
        return None
    checks = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == 'check_values'
    ]
    uses = _count_uses(tree, rest)
    uses -= sum(_count_uses(check, rest) for check in checks)
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == '__init__'
        and _is_super(node.func.value)
        and any(
            keyword.arg is None
            and isinstance(keyword.value, ast.Name)
            and keyword.value.id == rest
            for keyword in node.keywords
        )
    ]
    if len(calls) != 1 or uses != 1:
        return None
    call = calls[0]
    by_position = [a for a in call.args if not isinstance(a, ast.Starred)]
    names = {k.arg for k in call.keywords if k.arg is not None}
    return len(by_position), names


def _count_uses(node: ast.AST, name: str) -> int:
    return sum(
        isinstance(inner, ast.Name) and inner.id == name
        for inner in ast.walk(node)
    )


def _is_super(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == 'super'
    )


def check_argument_names(
    owner: str, component: Callable, given: Iterable[str]
) -> None:
    """Check that a class or a function takes some arguments.

    Args:
        owner (str): Where they are given, for the message.
        component (Callable): The class or function.
        given (Iterable[str]): Names of the arguments.

    Raises:
        TypeError: If it does not take one of them.
    """
    arguments = find_arguments(component)
    for name in given:
        fault = tell_unknown(name, component, arguments.parameters)
        if not arguments.is_open and fault:
            raise TypeError(f'{owner}.{fault}')


def tell_unknown(
    name: str, component: Callable, known: Iterable[str]
) -> Optional[str]:
    """Tell that there is no argument of a name.

    Args:
        name (str): The name.
        component (Callable): The class or function.
        known (Iterable[str]): The arguments that it has.

    Returns:
        str, optional: A message, or None if there is such an argument.
    """
    known = list(known)
    if name in known:
        return None
    kind = getattr(component, '__name__', str(component))
    return (
        f'{name} should be an argument of {kind}, but it has '
        f'{", ".join(known) or "none"}{did_you_mean(name, known)}'
    )
