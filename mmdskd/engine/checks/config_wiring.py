"""Check names and settings that no component has as its own arguments."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.hooks import EMAHook, Hook
from mmengine.optim import _ParamScheduler
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, Registry

from mmdskd.utils.config import type_name
from mmdskd.utils.signatures import find_arguments, tell_unknown
from mmdskd.utils.spelling import near
from mmdskd.utils.values import describe

from .config_names import look_up, suggest
from .config_parts import Part

# What each kind of clipping takes.
_CLIP = dict(
    norm=('max_norm', 'norm_type', 'error_if_nonfinite', 'foreach'),
    value=('clip_value', 'foreach'),
)
ONE_CYCLE = ('OneCycleLR', 'OneCycleParamScheduler')
_CLIP_BY = dict(norm='max_norm', value='clip_value')
# What is built from a dict, if it is not built already.
_BUILT = (
    'model',
    'model.architecture',
    'model.teacher',
    'model.distiller',
    'model.data_preprocessor',
    'optim_wrapper.optimizer',
    'train_dataloader.dataset',
    'train_dataloader.sampler',
    'val_dataloader.dataset',
    'val_dataloader.sampler',
    'test_dataloader.dataset',
    'test_dataloader.sampler',
    'val_evaluator',
    'test_evaluator',
    'visualizer',
    'log_processor',
    'auto_scale_lr',
    'custom_imports',
)


def check_wiring(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Check what MMEngine takes out of a config by itself.

    Args:
        cfg (Config): Config of a run.

    Yields:
        str: A message for each mistake.
    """
    for path in _BUILT:
        parent, _, key = path.rpartition('.')
        section = cfg.get(parent) if parent else cfg
        value = section.get(key) if isinstance(section, Mapping) else None
        if isinstance(value, (bool, int, float, str)):
            yield f'{path} should be a dict, but got {describe(value)}'
    scope = cfg.get('default_scope')
    scopes = ['mmengine', *MODELS.children]
    meant = near(scope, scopes) if isinstance(scope, str) else None
    if meant is not None and scope not in scopes:
        yield (
            'default_scope should be the scope of a package, but got '
            f'{scope!r}; did you mean {meant!r}?'
        )
    hooks = cfg.get('custom_hooks')
    for index, hook in enumerate(hooks if isinstance(hooks, list) else []):
        if not isinstance(hook, (dict, Hook)):
            yield _not_a_component(f'custom_hooks[{index}]', 'hook', hook)
    hooks = cfg.get('default_hooks')
    for name, hook in (hooks if isinstance(hooks, dict) else {}).items():
        if hook is not None and not isinstance(hook, (dict, Hook)):
            yield _not_a_component(f'default_hooks.{name}', 'hook', hook)
    schedules = cfg.get('param_scheduler')
    if not isinstance(schedules, (dict, list, tuple, type(None))):
        yield _not_a_component('param_scheduler', 'schedule', schedules)
    elif isinstance(schedules, (list, tuple)):
        for index, schedule in enumerate(schedules):
            path = f'param_scheduler[{index}]'
            if isinstance(schedule, dict):
                yield from _check_schedule(path, schedule)
            elif not isinstance(schedule, _ParamScheduler):
                yield _not_a_component(path, 'schedule', schedule)
    elif isinstance(schedules, dict):
        yield from _check_schedule('param_scheduler', schedules)
    wrapper = cfg.get('optim_wrapper')
    if isinstance(wrapper, dict):
        yield from _check_wrapper(wrapper, cfg.get('default_scope'))


def _not_a_component(path: str, what: str, value: Any) -> str:
    example = f"dict(type='{value}')" if isinstance(value, str) else 'a dict'
    return (
        f'{path} should be the config of a {what}, {example}, but got '
        f'{describe(value)}'
    )


def _check_schedule(path: str, schedule: dict) -> Iterator[str]:
    """Check the settings of a schedule that exclude one another."""
    if schedule.get('convert_to_iter_based') is True and (
        schedule.get('by_epoch') is False
    ):
        yield (
            f'{path}.convert_to_iter_based should be left out with '
            'by_epoch=False, as its numbers are iterations already, but got '
            'True'
        )
    if (
        type_name(schedule) in ONE_CYCLE
        and schedule.get('total_steps') is None
        and schedule.get('end') is None
    ):
        yield (
            f'{path}.total_steps should be the length of the cycle, unless '
            'begin and end give it, but got None'
        )
    both = [
        key
        for key in ('eta_min', 'eta_min_ratio')
        if schedule.get(key) is not None
    ]
    if len(both) == 2:
        yield (
            f'{path} should have one of eta_min and eta_min_ratio, but has '
            'both'
        )


def _check_wrapper(wrapper: dict, scope: Any) -> Iterator[str]:
    """Check who builds the optimizer, and how gradients are clipped."""
    kind = wrapper.get('constructor')
    path = 'optim_wrapper.constructor'
    if isinstance(kind, str):
        yield from _check_name(
            path, OPTIM_WRAPPER_CONSTRUCTORS, kind, scope or 'mmengine'
        )
    elif kind is not None and not callable(kind):
        yield f'{path} should be the name of a class, but got {describe(kind)}'
    clip, path = wrapper.get('clip_grad'), 'optim_wrapper.clip_grad'
    if clip is None:
        return
    if not isinstance(clip, dict):
        yield (
            f'{path} should be a dict, such as dict(max_norm=1.0), but got '
            f'{describe(clip)}'
        )
        return
    kind = clip.get('type', 'norm')
    if kind not in _CLIP:
        return
    if _CLIP_BY[kind] not in clip:
        keys = ', '.join(map(str, clip)) or 'nothing'
        yield (
            f'{path}.{_CLIP_BY[kind]} should be given with type={kind!r}, but '
            f'got {keys}'
        )
    others = [key for by in _CLIP.values() for key in by]
    for key in clip:
        if key in others and key not in _CLIP[kind]:
            yield (
                f'{path}.{key} should be one of {", ".join(_CLIP[kind])}, as '
                f'type is {kind!r}'
            )


def _check_name(
    path: str, registry: Registry, name: str, scope: str
) -> Iterator[str]:
    if look_up(registry, name, scope) is None:
        yield (
            f'{path} should be the name of a {registry.name} that is known '
            f'in the scope {scope!r}, but got {name!r}'
            f'{suggest(registry, name, scope)}'
        )


def check_average(part: Part, component: Any) -> Iterator[str]:
    """Check what :class:`mmengine.hooks.EMAHook` hands to the average.

    Args:
        part (Part): A hook.
        component (Callable): What it builds.

    Yields:
        str: A message for each mistake.
    """
    if not (isinstance(component, type) and issubclass(component, EMAHook)):
        return
    cfg = part.cfg
    if cfg.get('begin_iter') and cfg.get('begin_epoch'):
        yield (
            f'{part.path} should have one of begin_iter and begin_epoch, but '
            'has both'
        )
    kind = cfg.get('ema_type', 'ExponentialMovingAverage')
    if not isinstance(kind, str):
        return
    faults = [*_check_name(f'{part.path}.ema_type', MODELS, kind, part.scope)]
    yield from faults
    if faults:
        return
    average = look_up(MODELS, kind, part.scope)
    taken, own = find_arguments(average), find_arguments(component)
    if taken.is_open:
        return
    given = ('model', 'device')
    known = [*own.parameters, *part.place.taken]
    known += [key for key in taken.parameters if key not in given]
    for key in cfg:
        if key not in known and not key.startswith('_') and key != 'type':
            yield f'{part.path}.{tell_unknown(key, average, known)}'
