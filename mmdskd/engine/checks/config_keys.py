"""Find keys of a config that nobody reads."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from mmengine.runner import Runner

from mmdskd.utils.spelling import did_you_mean, near

# What is read beside the arguments of MMEngine's Runner.
_OTHERS = (
    'activation_checkpointing',
    'auto_resume',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'evaluate_teacher',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'strategy',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
    'vis_backends',
    'work_dir',
)


def list_top_keys() -> list[str]:
    """List the keys at the top that a run reads.

    Returns:
        list[str]: The keys.
    """
    parameters = list(inspect.signature(Runner.__init__).parameters)[1:]
    known = [name for name in parameters if name != 'cfg']
    return list(dict.fromkeys([*known, *_OTHERS]))


def check_keys(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Look for keys at the top that are slips of one that is read.

    Variables of a config's own are legal there. A name that is near one that
    is read, and whose value is nowhere else, is a slip.

    Args:
        cfg (Config): Config of a run.

    Yields:
        str: A message for each mistake.
    """
    known = list_top_keys()
    for key, value in cfg.items():
        if key in known or key.startswith('_'):
            continue
        wanted = near(key, known)
        if wanted is not None and not _is_used(cfg, key, value):
            yield (
                f'{key} should be one of the keys that a run reads, but is '
                f'none; did you mean {wanted!r}?'
            )


def _is_used(cfg: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether the value of a variable is somewhere else, too."""
    if not isinstance(value, (dict, list, tuple)) or not value:
        return False
    return any(
        _contains(item, value) for other, item in cfg.items() if other != key
    )


def _contains(item: Any, value: Any) -> bool:
    if isinstance(item, type(value)) and item == value:
        return True
    if isinstance(item, dict):
        return any(_contains(inner, value) for inner in item.values())
    if isinstance(item, (list, tuple)):
        return any(_contains(inner, value) for inner in item)
    return False


def check_options(
    before: Mapping[str, Any], options: Mapping[str, Any]
) -> Iterator[str]:
    """Look for options that are of no effect.

    Within a run's own sections, unknown keys are found when the config is
    checked. Here are those that no section reads: new keys at the top, and
    variables of the config, whose values are copied while it is loaded.

    Args:
        before (Config): The config, before the options are merged into it.
        options (dict): Values by dotted path, of ``--cfg-options``.

    Yields:
        str: A message for each mistake.
    """
    known = list_top_keys()
    for path in options:
        top, _, rest = path.partition('.')
        if top in known:
            fault = _check_way(before, path)
            if fault:
                yield fault
            continue
        if top not in before:
            yield (
                f'{path}, of --cfg-options, should be a key that a run '
                f'reads, but {top!r} is none'
                f'{_near_paths(before, path, known)}'
            )
            continue
        copies = _find_copies(before, top, rest)
        if copies:
            yield (
                f'{path}, of --cfg-options, should be a key that is read '
                'after the config is loaded, but is a variable of the config, '
                f'which was copied while it was loaded: set {copies[0]}'
            )


def _near_paths(cfg: Mapping[str, Any], path: str, known: list[str]) -> str:
    """Ask for a key at the top that is meant, or one further down."""
    top, _, rest = path.partition('.')
    slip = near(top, known)
    if slip is not None:
        return f'; did you mean {f"{slip}.{rest}" if rest else slip!r}?'
    further = [p for p in _list_paths(cfg) if p.endswith(f'.{path}')]
    if further:
        return f'; did you mean {" or ".join(map(repr, further[:3]))}?'
    return did_you_mean(top, [*known, *cfg])


def _check_way(cfg: Mapping[str, Any], path: str) -> Optional[str]:
    """Tell of a step on the way that is not there to be changed."""
    here: Any = cfg
    keys = path.split('.')
    for depth, key in enumerate(keys):
        if isinstance(here, Mapping):
            if key not in here:
                return _check_new(path, here, keys, depth)
            here = here[key]
        elif isinstance(here, (list, tuple)):
            way = '.'.join(keys[:depth])
            if not key.isdecimal() or int(key) >= len(here):
                return (
                    f'{path}, of --cfg-options, should give a position in '
                    f'{way}, a list of {len(here)} (0 to {len(here) - 1}), '
                    f'but got {key!r}'
                )
            here = here[int(key)]
        else:
            return None
    return None


def _check_new(
    path: str, here: Mapping[str, Any], keys: list[str], depth: int
) -> Optional[str]:
    """Tell of a step that is new and near one that goes on as the path does.
    What reads a component knows the rest of its keys."""
    slip = near(keys[depth], list(here))
    if depth + 1 == len(keys) or slip is None:
        return None
    if not isinstance(here[slip], Mapping):
        return None
    meant = '.'.join([*keys[:depth], slip, *keys[depth + 1 :]])
    return (
        f'{path}, of --cfg-options, should go by a key that is there, but '
        f'{keys[depth]!r} is new; did you mean {meant!r}?'
    )


def _list_paths(value: Any, path: str = '') -> list[str]:
    """List the paths of a config."""
    if not isinstance(value, Mapping):
        return []
    found = []
    for key, item in value.items():
        here = f'{path}.{key}' if path else str(key)
        found += [here, *_list_paths(item, here)]
    return found


def _find_copies(cfg: Mapping[str, Any], top: str, rest: str) -> list[str]:
    """Find where a variable of a config was copied to."""
    value = cfg[top]
    known = [key for key in list_top_keys() if key in cfg]
    found = []
    for key in known:
        for path in [key, *_list_paths(cfg[key], key)]:
            item: Any = cfg
            for step in path.split('.'):
                item = item[step]
            is_copy = (
                item == value and type(item) is type(value) and bool(value)
                if isinstance(value, (dict, list, tuple))
                else path.rpartition('.')[2] == top and item == value
            )
            if is_copy:
                found.append(f'{path}.{rest}' if rest else path)
    return found
