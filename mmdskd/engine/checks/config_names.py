"""What the types of a config name."""

from contextlib import suppress
from importlib import import_module
from typing import Any, Callable, Optional

from mmengine.registry import FUNCTIONS, Registry

from mmdskd.utils.spelling import did_you_mean, near

from .config_parts import Part
from .config_sections import near_of

# Their names are suggested, beside those of the packages that are imported.
_PACKAGES = ('mmengine', 'mmpretrain', 'mmrazor', 'mmdskd')


class Names:
    """Looks types up, each once.

    Attributes:
        faults (list[str]): A message for each type that nothing is known of.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._found: dict[tuple, Optional[Callable]] = dict()

    def find(self, part: Part) -> Optional[Callable]:
        """Find what a part builds.

        Args:
            part (Part): The part.

        Returns:
            Callable, optional: A class or a function, or None if there is
            none of that name, which is a fault if it is sure to be built.
        """
        kind = part.type
        if not kind:
            keys = [str(key) for key in part.cfg if key != 'type']
            self.faults.append(
                f'{part.path}.type should be given, but got '
                f'{", ".join(keys) or "no key"} only'
                f'{near_of("type", part.cfg)}'
            )
            return None
        if not isinstance(kind, str):
            if callable(kind):
                return kind
            self.faults.append(
                f'{part.path}.type should be the name of a class, or the '
                f'class, but got {kind!r}'
            )
            return None
        place = part.place
        key = (id(place.registry), kind + place.suffix, part.scope)
        if key not in self._found:
            self._found[key] = look_up(
                place.registry, kind + place.suffix, part.scope
            )
        found = self._found[key]
        if found is None and place.is_sure:
            self.faults.append(
                f'{part.path}.type should be the name of a '
                f'{place.registry.name} that is known in the scope '
                f'{part.scope!r}, but got {kind!r}'
                f'{suggest(place.registry, kind, part.scope, place.suffix)}'
            )
        return found


def look_up(registry: Registry, name: str, scope: str) -> Any:
    """Look a name up as MMEngine does when it builds it.

    Args:
        registry (Registry): A registry.
        name (str): The name, which may have a scope before a dot.
        scope (str): The scope in which it is built.

    Returns:
        Callable, optional: What is registered, or None.
    """
    if registry is FUNCTIONS:  # MMEngine's Runner asks without a scope
        return registry.get(name)
    _import_registry(scope)
    child = _root(registry)._search_child(scope)
    return (registry if child is None else child).get(name)


def _import_registry(package: str) -> None:
    """Let a package add its registries to those of MMEngine."""
    with suppress(ImportError, AttributeError):
        import_module(f'{package}.registry')


def _root(registry: Registry) -> Registry:
    while registry.parent is not None:
        registry = registry.parent
    return registry


def suggest(
    registry: Registry, name: str, scope: str, suffix: str = ''
) -> str:
    """Ask for the names of all scopes that are like one that is in none.

    Args:
        registry (Registry): Where it was looked up.
        name (str): The name.
        scope (str): The scope in which it was looked up.
        suffix (str): What is appended to it.

    Returns:
        str: A question, or '' if there is no such name.
    """
    bare = name.rpartition('.')[2]
    by_name: dict[str, list[str]] = dict()
    for other in _all_scopes(registry):
        for full in other.module_dict:
            if suffix and not full.endswith(suffix):
                continue
            short = full[: len(full) - len(suffix)]
            shown = short
            if '.' in name or other.scope not in (scope, 'mmengine'):
                shown = f'{other.scope}.{short}'
            names = by_name.setdefault(short, [])
            if shown not in names:
                names.append(shown)
    if bare in by_name:  # in another scope
        return f'; did you mean {" or ".join(map(repr, by_name[bare][:3]))}?'
    prefix = name.rpartition('.')[0]
    own = [
        short
        for short, shown in by_name.items()
        if prefix and f'{prefix}.{short}' in shown
    ]
    slip = near(bare, own) or near(bare, list(by_name))
    if slip is not None:
        return f'; did you mean {" or ".join(map(repr, by_name[slip][:3]))}?'
    shown_names = [shown for names in by_name.values() for shown in names]
    return did_you_mean(name, shown_names) or did_you_mean(bare, list(by_name))


def _all_scopes(registry: Registry) -> list[Registry]:
    """List a registry, those above and all below, filled."""
    for package in _PACKAGES:
        _import_registry(package)
    found, rest = [], [_root(registry)]
    while rest:
        one = rest.pop(0)
        one.import_from_location()
        found.append(one)
        rest += list(one.children.values())
    return found
