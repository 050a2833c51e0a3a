"""Build the strategies of the terms from a config."""

from typing import Any, Optional, Union

from mmdskd.registry import TASK_UTILS
from mmdskd.utils.rules import Choice
from mmdskd.utils.signatures import check_argument_names
from mmdskd.utils.spelling import did_you_mean

from ...losses.terms import TERMS
from .base_strategy import BaseLossWeightStrategy

_TERMS = tuple(term.name for term in TERMS)

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
    terms = list(_TERMS)
    if not isinstance(cfg, dict) or 'type' in cfg:
        return {term: _build_strategy(cfg) for term in terms}
    unknown = sorted(set(cfg) - set(terms))
    if unknown:
        raise KeyError(
            f'strategy should be a name, a config with a type, or '
            f'a dict by term ({", ".join(terms)}), but got the '
            f'keys {unknown}{did_you_mean(unknown[0], [*terms, "type"])}'
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
        found = TASK_UTILS.get(name) if name.strip() else None
        cfg['type'] = found
        if not (
            isinstance(found, type)
            and issubclass(found, BaseLossWeightStrategy)
        ):
            names = list_strategies()
            raise KeyError(
                f'{name!r} is not a weighting strategy: choose one '
                f'of {", ".join(names)}, or register your own in '
                f'TASK_UTILS{did_you_mean(name, names)}'
            )
        given = [key for key in cfg if key not in ('type', '_scope_')]
        check_argument_names('strategy', found, given)
    strategy = TASK_UTILS.build(cfg)
    if not isinstance(strategy, BaseLossWeightStrategy):
        raise TypeError(
            f'strategy should be a BaseLossWeightStrategy, but '
            f'{name!r} is a {type(strategy).__name__}'
        )
    return strategy


def list_strategies() -> list[str]:
    """List the names of the strategies.

    Returns:
        list[str]: The names.
    """
    TASK_UTILS.import_from_location()
    return sorted(
        key
        for key, value in TASK_UTILS.module_dict.items()
        if isinstance(value, type)
        and issubclass(value, BaseLossWeightStrategy)
    )


class StrategyRule(Choice):
    """What :func:`build_strategies` takes. Configs within are looked at as
    those of other components are."""

    @property
    def text(self) -> str:
        """str: The rule."""
        return (
            f'a strategy ({", ".join(list_strategies())}), its config with a '
            f'type, or a dict of them by term ({", ".join(_TERMS)})'
        )

    @property
    def names(self) -> list[str]:
        """list[str]: The strategies."""
        return list_strategies()

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`~mmdskd.utils.rules.Rule`."""
        if isinstance(value, dict) and 'type' not in value:
            wrong = not set(value) <= set(_TERMS)
            names = list(value.values())
        elif isinstance(value, (str, dict, BaseLossWeightStrategy)):
            wrong, names = False, [value]
        else:
            return TypeError
        for name in names:
            found = name
            if isinstance(name, str):
                found = TASK_UTILS.get(name) if name.strip() else None
            wrong = wrong or not (
                isinstance(found, (dict, BaseLossWeightStrategy))
                or (
                    isinstance(found, type)
                    and issubclass(found, BaseLossWeightStrategy)
                )
            )
        return ValueError if wrong else None


#: What the argument ``strategy`` should be.
STRATEGY = StrategyRule(())
