"""Build the strategies of the terms from a config."""

from typing import Union

from mmdskd.registry import TASK_UTILS

from ...losses.terms import TERMS
from .base_strategy import BaseLossWeightStrategy

StrategyConfig = Union[str, dict, BaseLossWeightStrategy]


def build_strategies(cfg: StrategyConfig) -> dict[str, BaseLossWeightStrategy]:
    """Build the strategy of each term.

    Args:
        cfg (str, dict or BaseLossWeightStrategy): One strategy, its name or
            its config, or a dict of them by term.

    Returns:
        dict[str, BaseLossWeightStrategy]: One per term.

    Raises:
        KeyError: If there is no strategy of that name, or no such term.
        TypeError: If what is named is not a strategy.
    """
    terms = [term.name for term in TERMS]
    if not isinstance(cfg, dict) or 'type' in cfg:
        return {term: _build_strategy(cfg) for term in terms}
    unknown = sorted(set(cfg) - set(terms))
    if unknown:
        raise KeyError(
            f'strategy should be a name, a config with a type, or '
            f'a dict by term ({", ".join(terms)}), but got the '
            f'keys {unknown}'
        )
    return {term: _build_strategy(cfg.get(term, 'uniform')) for term in terms}


def _build_strategy(cfg: StrategyConfig) -> BaseLossWeightStrategy:
    if isinstance(cfg, BaseLossWeightStrategy):
        return cfg
    if not isinstance(cfg, (str, dict)):
        raise TypeError(
            'strategy should be a name, a config or a '
            f'BaseLossWeightStrategy, but got {cfg!r}'
        )
    cfg = dict(type=cfg) if isinstance(cfg, str) else dict(cfg)
    name = cfg['type']
    if isinstance(name, str):
        cfg['type'] = found = TASK_UTILS.get(name)
        if not (
            isinstance(found, type)
            and issubclass(found, BaseLossWeightStrategy)
        ):
            names = sorted(
                key
                for key, value in TASK_UTILS.module_dict.items()
                if isinstance(value, type)
                and issubclass(value, BaseLossWeightStrategy)
            )
            raise KeyError(
                f'{name!r} is not a weighting strategy: choose one '
                f'of {", ".join(names)}, or register your own in '
                'TASK_UTILS'
            )
    strategy = TASK_UTILS.build(cfg)
    if not isinstance(strategy, BaseLossWeightStrategy):
        raise TypeError(
            f'strategy should be a BaseLossWeightStrategy, but '
            f'{name!r} is a {type(strategy).__name__}'
        )
    return strategy
