"""All mutations of the config of a run, and what is said of each."""

import re
from typing import Any, NamedTuple

from . import (
    names,
    together,
    values_of_dskd,
    values_of_networks,
    values_of_run,
)
from .rules import RULES

# Stands for a key that is taken away.
MISSING = object()


class Mutation(NamedTuple):
    """One mistake.

    Attributes:
        changes (dict): Values by path.
        fragments (tuple[str]): What the message says.
        are_options (bool): Whether the changes come by the command line.
    """

    changes: dict[str, Any]
    fragments: tuple[str, ...]
    are_options: bool = False


def list_mutations() -> list[Mutation]:
    """List all mutations."""
    return [
        *_of_values(),
        *_of_names(),
        *(Mutation(c, (text,)) for c, text in together.TOGETHER),
        *(Mutation(c, (text,), True) for c, text in together.OPTIONS),
    ]


def _of_values() -> list[Mutation]:
    found = []
    for path, rule, wrong in values_of_dskd.VALUES + values_of_run.VALUES:
        for value in wrong:
            found.append(Mutation({path: value}, (_text(path, rule, value),)))
    for path, cfg, key, rule, wrong in values_of_networks.VALUES:
        for value in wrong:
            text = _text(f'{path}.{key}', rule, value)
            found.append(Mutation({path: {**cfg, key: value}}, (text,)))
    return found


def _text(path: str, rule: str, value: Any) -> str:
    return f'{path} should be {RULES[rule]}, but got {value!r}'


def _of_names() -> list[Mutation]:
    found = []
    for path, kind, wanted in names.TYPES:
        said = f'{path}.type should be the name of a '
        meant = f'but got {kind!r}; did you mean'
        found.append(
            Mutation({f'{path}.type': kind}, (said, meant, f"'{wanted}"))
        )
    for path, owner, key, wanted in names.ARGUMENTS:
        said = f'{path}.{key} should be an argument of {owner}, but it has '
        meant = f'; did you mean {wanted!r}' if wanted else said
        found.append(Mutation({f'{path}.{key}': 1}, (said, meant)))
    for path, key, wanted in names.KEYS:
        whole = f'{path}.{key}' if path else key
        said = f'{whole} should be one of the keys that'
        meant = f'; did you mean {wanted!r}' if wanted else said
        found.append(Mutation({whole: 1}, (said, meant)))
    for path, said in names.NEEDED:
        found.append(Mutation({path: MISSING}, (f'{path} {said}',)))
    return found


def mutate(cfg: Any, path: str, value: Any) -> None:
    """Make one change in a config.

    ``[+]`` stands for one more hook in a list.
    """
    steps: list = [
        int(index) if index.isdecimal() else index or key
        for key, index in re.findall(r'([^.\[\]]+)|\[(\d+|\+)\]', path)
    ]
    for step, following in zip(steps, [*steps[1:], None]):
        if step == '+':
            cfg.append(dict(type='EMAHook'))
            step = len(cfg) - 1
        if following is None:
            if value is MISSING:
                del cfg[step]
            else:
                cfg[step] = value
        elif isinstance(cfg, dict) and step not in cfg:
            cfg[step] = {}
            cfg = cfg[step]
        else:
            cfg = cfg[step]
