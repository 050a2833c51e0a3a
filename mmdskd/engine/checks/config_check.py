"""Check the config of a run before anything is built from it."""

from collections.abc import Mapping
from typing import Any, Optional

from mmengine.config import Config

from mmdskd.utils.arguments import override_settings

from .config_arguments import check_arguments
from .config_keys import check_keys, check_options
from .config_lengths import check_lengths
from .config_names import Names
from .config_parts import walk_parts
from .config_sections import check_sections
from .config_wiring import check_average, check_wiring
from .log_packages import check_log_packages


class ConfigError(ValueError):
    """A config with mistakes, each with the path of its key."""


def check_config(cfg: Mapping[str, Any]) -> None:
    """Check every value of a config that has a rule. Nothing is built.

    What is checked: the types are known, their arguments too, and none is
    missing; numbers are finite and in their range; switches are True or
    False, and not text; keys that nobody reads are not near one that is read;
    schedules begin before the run is over; packages that log are installed.
    What can't be decided passes.

    Args:
        cfg (Config): Config of a run.

    Raises:
        ConfigError: If there are mistakes. It lists them all, each with the
            full path of the key, the value and the rule.
    """
    cfg = _get_dict(cfg)
    faults: list[str] = [
        *check_keys(cfg),
        *check_sections(cfg),
        *check_wiring(cfg),
        *check_log_packages(cfg),
    ]
    names = Names()
    of_parts: list[str] = []
    for part in walk_parts(cfg):
        component = names.find(part)
        if component is not None:
            of_parts += check_arguments(part, component)
            of_parts += check_average(part, component)
    faults += names.faults + of_parts
    faults += check_lengths(cfg)
    if faults:
        raise ConfigError(format_faults(faults))


def _get_dict(cfg: Mapping[str, Any]) -> Mapping[str, Any]:
    """Get the dict of a config, in which types are no longer lazy."""
    return cfg._cfg_dict if isinstance(cfg, Config) else cfg


def merge_options(cfg: Config, options: Optional[Mapping[str, Any]]) -> None:
    """Merge the options of a command line into a config.

    Args:
        cfg (Config): Config of a run, changed in place.
        options (dict, optional): Values by dotted path, of
            ``--cfg-options``.

    Raises:
        ConfigError: If an option is of no effect.
    """
    options = options or {}
    faults = list(check_options(_get_dict(cfg), options))
    if faults:
        raise ConfigError(format_faults(faults))
    override_settings(cfg, dict(options))


def format_faults(faults: list[str]) -> str:
    """Write mistakes as one message.

    Args:
        faults (list[str]): The mistakes, one or more.

    Returns:
        str: The message.
    """
    sentences = [
        fault if fault.endswith('?') else f'{fault}.'
        for fault in dict.fromkeys(faults)
    ]
    if len(sentences) == 1:
        return f'The config has a mistake: {sentences[0]}'
    listed = '\n'.join(f'- {sentence}' for sentence in sentences)
    return f'The config has {len(sentences)} mistakes:\n{listed}'
