from typing import Any

AUTO = 'auto'


def check_resolved(component: str, **arguments: Any) -> None:
    """Check that a component is not built with what is still to be found.

    Args:
        component (str): Name of the component.
        **arguments: Its arguments.

    Raises:
        ValueError: If one of them is "auto".
    """
    unresolved = [name for name, value in arguments.items() if value == AUTO]
    if unresolved:
        raise ValueError(
            f'{component}: {", ".join(unresolved)} should be known when it is '
            f'built, but got {AUTO!r}. Shapes are found by a dry run on the '
            'config: call mmdskd.utils.resolve_auto(cfg) before '
            'Runner.from_cfg(cfg), as tools/train.py does')
