"""Hooks that guard every run of the tools."""

from mmengine.config import Config

#: Name among ``default_hooks`` and config of each.
DEFAULT_HOOKS: dict[str, dict] = {
    'loaded_weights': dict(type='mmdskd.LoadedWeightsHook'),
    'non_finite': dict(type='mmdskd.NonFiniteHook'),
    'run_check': dict(type='mmdskd.RunCheckHook'),
    'exact_resume': dict(type='mmdskd.ExactResumeHook'),
}


def add_default_hooks(cfg: Config) -> None:
    """Add the hooks to those that a config has, by their names.

    A config that sets one of them is left as it is. One that sets it to None
    does without: MMEngine knows that of its own hooks only.

    Args:
        cfg (Config): Config of a run, changed in place.
    """
    hooks = {**DEFAULT_HOOKS, **(cfg.get('default_hooks') or {})}
    for name in DEFAULT_HOOKS:
        if hooks[name] is None:
            del hooks[name]
    if hooks:
        cfg.default_hooks = hooks
