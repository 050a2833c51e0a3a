"""Check that the scores that hooks ask for are computed."""

from collections.abc import Iterator
from typing import Any, Optional

from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.optim.scheduler.param_scheduler import (
    ReduceOnPlateauParamScheduler,
)
from mmengine.runner import Runner
from mmpretrain.evaluation import Accuracy

from mmdskd.utils.spelling import did_you_mean

# Their hooks add no scores to those of a validation.
KNOWN_PACKAGES = ('mmengine', 'mmdskd')
ADDS_SCORES = 'BranchEvaluationHook'
# Of the metrics of MMPretrain whose scores should rise
GREATER_PREFIXES = ('accuracy/', 'single-label/', 'multi-label/')


def check_directions(runner: Runner) -> None:
    """Warn of rules by which the worst score is the best.

    ``ReduceOnPlateauLR`` has the rule "less" by default, which lowers the
    learning rate whenever an accuracy rises.

    Args:
        runner (Runner): The runner of the training process.
    """
    asked = [(*one, rule) for one, rule in _list_rules(runner)]
    for key, score, rule in asked:
        name = score.rpartition('/')[2].lower()
        meant = (
            'less'
            if 'loss' in name
            else 'greater'
            if score.startswith(GREATER_PREFIXES)
            else rule
        )
        if rule != meant:
            runner.logger.warning(
                f'{key} is {score}, of which the {meant} one is better, but '
                f'its rule is {rule!r}: set rule={meant!r}.'
            )


def _list_rules(runner: Runner) -> Iterator[tuple[tuple[str, str], str]]:
    """List the scores that hooks and schedules compare, with their rules."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best:
            for score, rule in zip(hook.key_indicators, hook.rules):
                if isinstance(score, str):
                    yield ('save_best of CheckpointHook', score), rule
        elif isinstance(hook, EarlyStoppingHook) and hook.rule is not None:
            yield ('monitor of EarlyStoppingHook', hook.monitor), hook.rule
    for schedule in _list_plateaus(runner):
        key = f'monitor of {type(schedule).__name__}'
        yield (key, schedule.monitor), schedule.rule


def check_scores(runner: Runner) -> None:
    """Check ``save_best`` and ``monitor`` before the first validation.

    MMEngine looks for a score after a whole epoch: ``CheckpointHook`` then
    ends with a KeyError, ``EarlyStoppingHook`` never stops, and
    ``ReduceOnPlateauLR`` never acts.

    Args:
        runner (Runner): The runner of the training process.

    Raises:
        ValueError: If no metric of ``val_evaluator`` computes the score. What
            can't be known, such as the scores of a hook of one's own, passes.
    """
    metrics = getattr(
        getattr(runner.val_loop, 'evaluator', None), 'metrics', []
    )
    if not metrics or any(map(_may_add_scores, runner.hooks)):
        return
    names: list[str] = []
    prefixes: list[str] = []
    for metric in metrics:
        known = _find_names(metric)
        if known is not None:
            names += known
        elif metric.prefix:
            prefixes.append(f'{metric.prefix}/')
        else:
            return
    asked = [*_list_asked(runner.hooks), *_list_followed(runner)]
    for key, score in asked:
        if score not in names and not score.startswith(tuple(prefixes)):
            computed = ', '.join([*names, *(f'{p}...' for p in prefixes)])
            raise ValueError(
                f'{key} should be a score that val_evaluator computes '
                f'({computed}), but got {score!r}{did_you_mean(score, names)}'
            )


def _may_add_scores(hook: Hook) -> bool:
    """Whether a hook may add scores to those of a validation."""
    kind = type(hook)
    package = kind.__module__.partition('.')[0]
    return kind.__name__ == ADDS_SCORES or (
        package not in KNOWN_PACKAGES
        and kind.after_val_epoch is not Hook.after_val_epoch
    )


def _find_names(metric: Any) -> Optional[list[str]]:
    """List the scores of a metric, where they are known."""
    if type(metric) is not Accuracy:
        return None
    thresholds = metric.thrs
    ends = (
        [f'_thr-{t:.2f}' if t is not None else '_no-thr' for t in thresholds]
        if len(thresholds) > 1
        else ['']
    )
    return [
        f'{metric.prefix}/top{k}{end}' for k in metric.topk for end in ends
    ]


def _list_asked(hooks: list[Hook]) -> Iterator[tuple[str, str]]:
    """List the scores that hooks ask for, with their keys."""
    for hook in hooks:
        if isinstance(hook, CheckpointHook):
            asked = hook.save_best
            for score in [asked] if isinstance(asked, str) else asked or []:
                if score != 'auto':
                    yield 'save_best of CheckpointHook', score
        elif isinstance(hook, EarlyStoppingHook):
            yield 'monitor of EarlyStoppingHook', hook.monitor


def _list_followed(runner: Runner) -> Iterator[tuple[str, str]]:
    """List the scores that schedules follow, with their keys."""
    for schedule in _list_plateaus(runner):
        yield f'monitor of {type(schedule).__name__}', schedule.monitor


def _list_plateaus(runner: Runner) -> Iterator[Any]:
    """List the schedules that follow a score."""
    found = runner.param_schedulers or []
    groups = found.values() if isinstance(found, dict) else [found]
    lists = [group for group in groups if isinstance(group, list)]
    for schedule in [one for group in lists for one in group]:
        if isinstance(schedule, ReduceOnPlateauParamScheduler):
            yield schedule
