"""Read the values of command lines."""

import argparse
from collections.abc import Sequence
from typing import Any, Callable, Optional, Union

from mmengine.config import Config, DictAction

BRACKETS = {'[': ']', '(': ')'}


class Settings(DictAction):
    """Read ``KEY=VALUE ...`` as MMEngine does, with errors that say what is
    wrong."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Union[str, Sequence[Any], None],
        option_string: Optional[str] = None,
    ) -> None:
        for text in values or ():
            key, equals, value = text.partition('=')
            if not equals or not all(key.split('.')):
                raise argparse.ArgumentError(
                    self,
                    'each setting should be KEY=VALUE, such as '
                    f'randomness.seed=1, but got {text!r}',
                )
            try:
                # MMEngine takes "[1" for a text.
                assert value[:1] not in BRACKETS or (
                    value[-1] == BRACKETS[value[:1]]
                )
                super().__call__(parser, namespace, [text], option_string)
            except AssertionError as error:
                raise argparse.ArgumentError(
                    self,
                    f'the brackets of {text!r} should be in pairs, and the '
                    'value in quotes, as in key="[a,b]"',
                ) from error


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``, which overrides settings of a config.

    Args:
        parser (ArgumentParser): The parser of a tool.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Settings,
        metavar='KEY=VALUE',
        help='settings that override those of the config, such as '
        'randomness.seed=1 or key="[a,b]" (quoted, no white space)',
    )


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add ``--force``, which lets a tool replace the files that it writes,
    see :func:`mmdskd.utils.files.check_new_file`.

    Args:
        parser (ArgumentParser): The parser of a tool.
    """
    parser.add_argument(
        '--force',
        action='store_true',
        help='replace files that are there (default: stop before the work)',
    )


def override_settings(cfg: Config, options: Optional[dict]) -> None:
    """Override settings of a config by ``--cfg-options``.

    Args:
        cfg (Config): The config, changed in place.
        options (dict, optional): Values by dotted key.

    Raises:
        ValueError: If a key leads into a value that has no parts, or to an
            item that a list does not have.
    """
    try:
        cfg.merge_from_dict(options or {})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        ends = [(key, _find_end(cfg, key)) for key in options or {}]
        key, end = next((pair for pair in ends if pair[1]), ('', f'{error}'))
        raise ValueError(
            f'--cfg-options {key} should be a setting of the config, but {end}'
        ) from error


def _find_end(cfg: Config, key: str) -> str:
    """Say where a dotted key ends, nothing if it leads into a config."""
    node: Any = cfg
    parts = key.split('.')
    for number, part in enumerate(parts):
        where = '.'.join(parts[:number]) or 'the config'
        if isinstance(node, (list, tuple)):
            if not part.isdecimal() or int(part) >= len(node):
                return (
                    f'{where} is a list of {len(node)}, whose items are '
                    f'numbered from 0, but got {part!r}'
                )
            node = node[int(part)]
        elif isinstance(node, (dict, Config)):
            if part not in node:
                return ''
            node = node[part]
        else:
            return f'{where} is {node!r}, which has no {part!r}'
    return ''


def parse_options(options: list[str]) -> dict:
    """Read settings as ``tools/train.py`` does.

    Args:
        options (list[str]): Settings, ``KEY=VALUE``.

    Returns:
        dict: Their values by key.

    Raises:
        ValueError: If one of them is none.
    """
    action = Settings(['--cfg-options'], 'cfg_options')
    namespace = argparse.Namespace()
    try:
        action(argparse.ArgumentParser(), namespace, options)
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from error
    return namespace.cfg_options


def parse_shape(text: str) -> tuple[int, ...]:
    """Read ``C,H,W``.

    Args:
        text (str): Three numbers with commas between them.

    Returns:
        tuple[int]: The numbers.

    Raises:
        ArgumentTypeError: If they are not three numbers >= 1.
    """
    numbers = text.split(',')
    if len(numbers) != 3 or not all(
        n.isdecimal() and int(n) > 0 for n in numbers
    ):
        raise argparse.ArgumentTypeError(
            'should be channels, height and width of an image, such as '
            f'3,32,32, but got {text!r}'
        )
    return tuple(map(int, numbers))


def whole_number(minimum: int) -> Callable[[str], int]:
    """Make a reader of whole numbers for the command line.

    Args:
        minimum (int): The least that is allowed.

    Returns:
        Callable: The reader, which raises ArgumentTypeError.
    """

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(
                f'should be a whole number >= {minimum}, but got {text!r}'
            )
        return int(text)

    return read


def fraction(text: str) -> float:
    """Read a number of 0 to 1.

    Args:
        text (str): The number.

    Returns:
        float: The number.

    Raises:
        ArgumentTypeError: If it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = float('nan')
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(
            f'should be a number in [0, 1], but got {text!r}'
        )
    return number
