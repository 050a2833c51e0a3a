"""Check the settings of a run that are no components."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from mmdskd.utils.rules import (
    COUNT,
    FLAG,
    INDEX,
    POSITIVE,
    TEXT,
    WEIGHT,
    AnyOf,
    Choice,
    File,
    Kind,
    ListOf,
    Number,
    optional,
)
from mmdskd.utils.spelling import did_you_mean, near
from mmdskd.utils.values import describe

from .config_arguments import check_nan, check_rule
from .config_numbers import Single

_DICT = optional(Kind())
_LEVELS = ('DEBUG', 'INFO', 'WARNING', 'WARN', 'ERROR', 'CRITICAL', 'FATAL')

# What the keys at the top should be.
_TOP: dict[str, Any] = dict(
    work_dir=optional(TEXT),
    load_from=optional(File()),
    resume=FLAG,
    launcher=Choice(('none', 'pytorch', 'slurm', 'mpi')),
    default_scope=optional(TEXT),
    experiment_name=optional(TEXT),
    log_level=AnyOf((Choice(_LEVELS), INDEX)),
    evaluate_teacher=FLAG,
    find_unused_parameters=FLAG,
    train_cfg=_DICT,
    val_cfg=_DICT,
    test_cfg=_DICT,
    optim_wrapper=_DICT,
    train_dataloader=_DICT,
    val_dataloader=_DICT,
    test_dataloader=_DICT,
    default_hooks=_DICT,
    randomness=optional(Kind()),
    env_cfg=Kind(),
    custom_hooks=optional(Kind('a list of hooks', (list, tuple))),
)
_TRAIN: dict[str, Any] = dict(
    by_epoch=FLAG,
    max_epochs=COUNT,
    max_iters=COUNT,
    val_interval=COUNT,
    val_begin=INDEX,
)
_LOADER: dict[str, Any] = dict(
    batch_size=COUNT,
    num_workers=INDEX,
    persistent_workers=FLAG,
    pin_memory=FLAG,
    drop_last=FLAG,
    prefetch_factor=optional(COUNT),
    num_batch_per_epoch=optional(COUNT),
    timeout=WEIGHT,
)
_SEED = optional(INDEX)
# An infinite norm is the largest gradient, an infinite limit only logs it.
_TO_INFINITY = AnyOf((POSITIVE, Choice((float('inf'),))))
# By path: what the keys should be, all that there are.
_SECTIONS: dict[str, dict[str, Any]] = {
    'randomness': dict(seed=_SEED, diff_rank_seed=FLAG, deterministic=FLAG),
    'env_cfg': dict(
        cudnn_benchmark=FLAG,
        mp_cfg=_DICT,
        dist_cfg=_DICT,
        resource_limit=COUNT,
    ),
    'env_cfg.mp_cfg': dict(
        mp_start_method=Choice(('fork', 'spawn', 'forkserver')),
        opencv_num_threads=INDEX,
    ),
    'auto_scale_lr': dict(enable=FLAG, base_batch_size=COUNT),
    'optim_wrapper.clip_grad': dict(
        type=Choice(('norm', 'value')),
        max_norm=_TO_INFINITY,
        norm_type=_TO_INFINITY,
        clip_value=_TO_INFINITY,
        error_if_nonfinite=FLAG,
        foreach=optional(FLAG),
    ),
}
_MULTIPLIERS = (
    'bias_lr_mult',
    'bias_decay_mult',
    'norm_decay_mult',
    'flat_decay_mult',
    'dwconv_decay_mult',
    'dcn_offset_lr_mult',
    'lr_mult',
    'decay_mult',
    'layer_decay_rate',
)
_PARAMWISE = (*_MULTIPLIERS[:6], 'bypass_duplicate', 'custom_keys')
_PREPROCESSOR = dict(
    mean=optional(ListOf(Number())), std=optional(ListOf(POSITIVE))
)
_OF_LOADERS = (
    'dataset',
    'sampler',
    'batch_sampler',
    'collate_fn',
    'worker_init_fn',
    'num_batch_per_epoch',
    'disable_subprocess_warning',
)


def check_sections(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Check the settings of a run that are no components.

    Args:
        cfg (Config): Config of a run.

    Yields:
        str: A message for each mistake.
    """
    for key, rule in _TOP.items():
        if key in cfg:
            yield from check_rule(key, cfg[key], rule)
    for path, rules in _SECTIONS.items():
        section = _get(cfg, path)
        if isinstance(section, dict):
            yield from _check_keys(path, section, rules, list(rules))
    yield from _check_loop(cfg.get('train_cfg'))
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if isinstance(cfg.get(key), dict):
            yield from _check_loader(key, cfg[key])
    yield from _check_paramwise(cfg.get('optim_wrapper'))
    preprocessor = cfg.get('data_preprocessor')
    if isinstance(preprocessor, dict) and 'type' not in preprocessor:
        for key, rule in _PREPROCESSOR.items():
            if key in preprocessor:
                path = f'data_preprocessor.{key}'
                yield from check_rule(path, preprocessor[key], rule)


def _get(cfg: Any, path: str) -> Any:
    for key in path.split('.'):
        if not isinstance(cfg, Mapping):
            return None
        cfg = cfg.get(key)
    return cfg


def _check_keys(
    path: str, section: dict, rules: Mapping[str, Any], known: list[str]
) -> Iterator[str]:
    """Check keys and values of a dict of which all keys are known."""
    for key, value in section.items():
        if str(key).startswith('_'):
            continue
        if key not in known:
            yield (
                f'{path}.{key} should be one of the keys that are read, '
                f'{", ".join(known)}, but is none{did_you_mean(key, known)}'
            )
        elif key in rules:
            yield from check_rule(f'{path}.{key}', value, rules[key])
        else:
            yield from check_nan(f'{path}.{key}', value)


def _check_loop(section: Any) -> Iterator[str]:
    """Check the loop of the training."""
    if not isinstance(section, dict) or section.get('type') is not None:
        return
    if 'by_epoch' not in section:
        slip = near_of('by_epoch', section)
        yield (
            'train_cfg.by_epoch should be given, True for epochs or False '
            f'for iterations, or train_cfg.type, but got '
            f'{", ".join(section) or "nothing"}{slip}'
        )
        return
    loop = EpochBasedTrainLoop if section['by_epoch'] else IterBasedTrainLoop
    known = list(inspect.signature(loop).parameters)[2:]
    yield from _check_keys('train_cfg', section, _TRAIN, ['by_epoch', *known])
    needed = 'max_epochs' if section['by_epoch'] else 'max_iters'
    if needed not in section:
        yield (
            f'train_cfg.{needed} should be given with by_epoch='
            f'{section["by_epoch"]}, but is missing'
            f'{near_of(needed, section)}'
        )


def near_of(wanted: str, section: Mapping[str, Any]) -> str:
    """Tell which key is a slip of one that is wanted.

    Args:
        wanted (str): The key.
        section (dict): Where it is not.

    Returns:
        str: Such as '; did you mean it by "max_epoch"?', or ''.
    """
    slips = [key for key in section if near(key, [wanted])]
    return f'; did you mean it by {slips[0]!r}?' if slips else ''


def _check_loader(path: str, loader: dict) -> Iterator[str]:
    """Check a data loader."""
    known = [*inspect.signature(DataLoader).parameters, *_OF_LOADERS]
    yield from _check_keys(path, loader, _LOADER, list(dict.fromkeys(known)))
    for key in ('dataset', 'sampler'):
        if key not in loader and not (
            key == 'sampler' and 'batch_sampler' in loader
        ):
            yield (
                f'{path}.{key} should be given, but is missing'
                f'{near_of(key, loader)}'
            )
    if 'batch_size' not in loader and 'batch_sampler' not in loader:
        yield (
            f'{path}.batch_size should be given, but is missing'
            f'{near_of("batch_size", loader)}'
        )
    if loader.get('persistent_workers') is True and (
        loader.get('num_workers', 0) == 0
    ):
        yield (
            f'{path}.persistent_workers should be False with num_workers=0, '
            'but got True'
        )


def _check_paramwise(wrapper: Any) -> Iterator[str]:
    """Check the settings by parameter of an optimizer."""
    if not isinstance(wrapper, dict):
        return
    section = wrapper.get('paramwise_cfg')
    path = 'optim_wrapper.paramwise_cfg'
    if section is None:
        return
    if not isinstance(section, dict):
        yield f'{path} should be a dict, but got {describe(section)}'
        return
    constructor = wrapper.get('constructor')
    is_default = constructor in (
        None,
        'DefaultOptimWrapperConstructor',
        'mmengine.DefaultOptimWrapperConstructor',
        DefaultOptimWrapperConstructor,
    )
    rules = {name: Single(WEIGHT) for name in _MULTIPLIERS}
    if is_default:
        yield from _check_keys(path, section, rules, list(_PARAMWISE))
    custom = section.get('custom_keys')
    if not isinstance(custom, dict):
        return
    for pattern, settings in custom.items():
        where = f'{path}.custom_keys.{pattern}'
        if not isinstance(settings, dict):
            yield (
                f'{where} should be a dict, such as dict(lr_mult=0.1), but '
                f'got {describe(settings)}'
            )
            continue
        for key, value in settings.items():
            if key in rules:
                yield from check_rule(f'{where}.{key}', value, rules[key])
            elif near(key, ['lr_mult', 'decay_mult']):
                slip = did_you_mean(key, ['lr_mult', 'decay_mult'])
                yield (
                    f'{where}.{key} should be lr_mult, decay_mult or a '
                    f'setting of the optimizer, but is none{slip}'
                )
