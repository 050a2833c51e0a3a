"""Hooks that guard every run of the tools."""

from mmengine.config import Config

from mmdskd.utils.config import is_named

#: Name among ``default_hooks`` and config of each.
DEFAULT_HOOKS: dict[str, dict] = {
    'loaded_weights': dict(type='mmdskd.LoadedWeightsHook'),
    'non_finite': dict(type='mmdskd.NonFiniteHook'),
    'run_check': dict(type='mmdskd.RunCheckHook'),
    'exact_resume': dict(type='mmdskd.ExactResumeHook'),
}


def add_default_hooks(cfg: Config) -> None:
    """Add the hooks to those that a config has, by their names.

    A config that sets one of them, there or in ``custom_hooks``, is left as
    it is. One that sets it to None
    does without: MMEngine knows that of its own hooks only.

    Args:
        cfg (Config): Config of a run, changed in place.
    """
    given = cfg.get('default_hooks') or {}
    custom = cfg.get('custom_hooks')
    custom = custom if isinstance(custom, (list, tuple)) else []
    hooks = {**DEFAULT_HOOKS, **given}
    for name, hook in DEFAULT_HOOKS.items():
        is_custom = name not in given and any(
            is_named(other, hook['type']) for other in custom
        )
        if hooks[name] is None or is_custom:
            del hooks[name]
    if hooks:
        cfg.default_hooks = hooks
