"""Check the arguments of components against their signatures."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from inspect import Parameter
from typing import Any, Optional, Union, get_args, get_origin

from mmrazor.models.algorithms import SingleTeacherDistill

from mmdskd.models import FrozenTeacherDistill
from mmdskd.utils.config import AUTO
from mmdskd.utils.signatures import Arguments, find_arguments, tell_unknown
from mmdskd.utils.spelling import did_you_mean
from mmdskd.utils.values import describe, find_choices

from .config_numbers import find_rules
from .config_parts import ANY, Part

_OF_CONFIGS = ('type', '_scope_', '_delete_')


def check_arguments(part: Part, component: Callable) -> Iterator[str]:
    """Check the arguments of a component.

    Args:
        part (Part): Where it is, with its config.
        component (Callable): The class or function that it names.

    Yields:
        str: A message for each mistake.
    """
    arguments = find_arguments(component)
    if part.place.is_sure:
        yield from _check_names(part, component, arguments)
    rules = find_rules(part, component)
    faults = [*_check_values(part, arguments, rules)]
    yield from faults
    together = getattr(component, 'check_together', None)
    if together is not None and not faults and AUTO not in part.cfg.values():
        with suppress(KeyError):  # of an argument that is missing
            try:
                together(part.cfg)
            except (TypeError, ValueError) as error:
                yield f'{part.path}: {error}'


def _check_values(
    part: Part, arguments: Arguments, rules: Mapping[str, Any]
) -> Iterator[str]:
    """Check the values of a component, each by itself."""
    for key, value in part.cfg.items():
        if key in _OF_CONFIGS:
            continue
        path = f'{part.path}.{key}'
        if key in rules:
            yield from check_rule(path, value, rules[key])
        elif key in arguments.parameters:
            yield from _check_type(path, value, arguments.parameters[key])
            yield from check_nan(path, value)
        else:
            yield from check_nan(path, value)


def check_rule(path: str, value: Any, rule: Any) -> Iterator[str]:
    """Check one value.

    Args:
        path (str): Where it is.
        value: The value.
        rule (Rule): What it should be.

    Yields:
        str: A message for each mistake.
    """
    component = getattr(rule, 'component', None)
    if component is not None and isinstance(value, dict):
        # Settings of a class that no registry knows.
        known = find_arguments(component).parameters
        faults = [
            f'{path}.{fault}'
            for key in value
            if (fault := tell_unknown(key, component, known))
        ]
        for key, inner in component.VALUES.items():
            if key in value:
                faults += check_rule(f'{path}.{key}', value[key], inner)
        yield from faults
        if faults:
            return
    if rule.error(value) is not None:
        hint = _hint(value, find_choices(rule))
        yield f'{path} should be {rule.text}, but got {describe(value)}{hint}'


def _hint(value: Any, choices: list[str]) -> str:
    """Ask for the choices that are like a text, or like one within."""
    words = [value]
    if isinstance(value, dict):
        words = list(value.values())
    elif isinstance(value, (list, tuple)):
        words = list(value)
    hints = [did_you_mean(word, choices) for word in words]
    return next(filter(None, hints), '')


def _check_names(
    part: Part, component: Callable, arguments: Arguments
) -> Iterator[str]:
    """Look for arguments that are not known, and for those that miss."""
    place = part.place
    if 'constructor' in place.taken and 'constructor' in part.cfg:
        return  # which takes out what it likes
    known = [*arguments.parameters, *place.taken]
    if place.is_given_by:
        for key in place.given:
            if key in part.cfg:
                yield (
                    f'{part.path}.{key} should be left to '
                    f'{place.is_given_by}, which overwrites it, but got '
                    f'{describe(part.cfg[key])}'
                )
    if not arguments.is_open:
        for key in part.cfg:
            if key in known or key in _OF_CONFIGS:
                continue
            if _is_of_ours(key, component):
                yield (
                    f'{part.path}.{key} should be an argument of '
                    f'{component.__name__}, but is one of '
                    'mmdskd.FrozenTeacherDistill, which takes every config of '
                    f"it: set {part.path}.type='mmdskd.FrozenTeacherDistill'"
                )
                continue
            names = [name for name in known if name not in place.given]
            yield f'{part.path}.{tell_unknown(key, component, names)}'
    if ANY in place.given:
        return
    missing = [
        key
        for key in arguments.required
        if key not in part.cfg and key not in place.given
    ]
    if missing and AUTO not in part.cfg.values():
        yield (
            f'{part.path}.{missing[0]} should be given, as '
            f'{component.__name__} needs it, but got '
            f'{_list_keys(part.cfg)}'
        )


def _is_of_ours(key: str, component: Any) -> bool:
    """Whether MMRazor's algorithm lacks what ours has."""
    return component is SingleTeacherDistill and (
        key in find_arguments(FrozenTeacherDistill).parameters
    )


def _list_keys(cfg: dict) -> str:
    keys = [str(key) for key in cfg if key not in _OF_CONFIGS]
    return f'{", ".join(keys)} only' if keys else 'no argument'


def _check_type(path: str, value: Any, parameter: Parameter) -> Iterator[str]:
    """Look for a text where a number or a bool is expected."""
    kinds = _plain_kinds(parameter)
    if kinds is None or not isinstance(value, str):
        return
    # Some take other texts, whatever the annotation.
    if describe(value) != repr(value):
        names = ' or '.join(sorted(kind.__name__ for kind in kinds))
        yield (f'{path} should be of type {names}, but got {describe(value)}')


def _plain_kinds(parameter: Parameter) -> Optional[set]:
    """Types of an argument that takes numbers and bools only, as its
    annotation says, or else its default."""
    annotation = parameter.annotation
    if annotation is Parameter.empty:
        kind = type(parameter.default)
        return {kind} if kind in (int, float, bool) else None
    options = (
        get_args(annotation)
        if get_origin(annotation) is Union
        else (annotation,)
    )
    kinds = {kind for kind in options if kind is not type(None)}
    return kinds if kinds and kinds <= {int, float, bool} else None


def check_nan(path: str, value: Any) -> Iterator[str]:
    """Look for nan in a value that is no component.

    Args:
        path (str): Where it is.
        value: The value.

    Yields:
        str: A message for each nan.
    """
    if isinstance(value, float) and math.isnan(value):
        yield f'{path} should be a number, but got nan'
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from check_nan(f'{path}[{index}]', item)
    elif isinstance(value, dict) and value.get('type') is None:
        for key, item in value.items():
            yield from check_nan(f'{path}.{key}', item)
