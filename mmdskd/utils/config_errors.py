"""Say which file of a config an error is in, and which line."""

import ast
import os.path as osp
import traceback
from collections.abc import Sequence
from pathlib import Path

from .plain_text import NotPlainError, parse_yaml
from .text import describe_error

CONFIG_READERS = ('_file2dict', '_parse_lazy_import', '_is_lazy_import')


def explain_config_error(error: Exception, config: str) -> Exception:
    """Make an error that names the file and the line.

    MMEngine reads a config and those of its ``_base_`` by functions that call
    one another. Which files these are is in the traceback.

    Args:
        error (Exception): What MMEngine has raised.
        config (str): The config that it should have read.

    Returns:
        FileNotFoundError or ValueError: The error to raise in its place.
    """
    files = _find_files(error) or [osp.abspath(config)]
    culprit, *holders = reversed(files)
    if isinstance(error, FileNotFoundError) and not osp.isfile(culprit):
        holder = holders[0] if holders else config
        return FileNotFoundError(
            f'{holder}: its _base_ names "{culprit}", but there is no such '
            f'file{_name_holders(holders)}'
        )
    number, reason = _find_line(error, files), _reason_of(error)
    where = culprit if number is None else f'{culprit}, line {number}'
    if isinstance(error, ImportError) and 'custom modules' in str(error):
        reason = (
            f'custom_imports should name modules that can be imported, but: '
            f'{_reason_of(error.__cause__ or error)}{_find_cause(error)}. '
            'PYTHONPATH should name the folder of a module of your own'
        )
    elif 'import_modules_from_strings()' in str(error):
        reason = (
            'custom_imports should be a dict(imports=[...], '
            f'allow_failed_imports=False), but: {error}'
        )
    elif isinstance(error, AttributeError) and not culprit.endswith('.py'):
        reason = f'it should hold keys and values, but: {error}'
    return ValueError(f'{where}: {reason}{_name_holders([culprit, *holders])}')


def check_bases(config: str, holders: Sequence[str] = ()) -> None:
    """Check that no ``_base_`` leads back to a config that has it, and that
    YAML is plain.

    MMEngine would follow it until no more files can be opened, and build any
    object that a YAML file names.

    Args:
        config (str): Path of the config.
        holders (Sequence[str]): The configs whose ``_base_`` it is. Defaults
            to none.

    Raises:
        ValueError: If one does, or if YAML holds more than plain values.
    """
    config = osp.abspath(osp.expanduser(config))
    if config in holders:
        raise ValueError(
            f'{holders[-1]}: its _base_ leads back to {config}, which has it '
            'as its _base_ or as a _base_ of that'
        )
    if config.endswith(('.yaml', '.yml')):
        _check_plain(config)
    for base in _read_bases(config):
        if '::' not in base:
            path = osp.join(osp.dirname(config), base)
            check_bases(path, [*holders, config])


def _check_plain(config: str) -> None:
    """Check that a YAML file names no objects. Of other faults, MMEngine
    tells."""
    try:
        parse_yaml(Path(config).read_text(encoding='utf-8'))
    except NotPlainError as error:
        raise ValueError(
            f'{config} should be YAML of plain values, but: {error}'
        ) from None
    except (OSError, ValueError):
        return


def _read_bases(config: str) -> list[str]:
    """Read the ``_base_`` of a config, none of what MMEngine will refuse."""
    if not config.endswith('.py'):
        return []
    try:
        tree = ast.parse(Path(config).read_text(encoding='utf-8'))
        bases = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            and getattr(node.targets[0], 'id', None) == '_base_'
        ]
    except (OSError, SyntaxError, ValueError):
        return []
    found = bases[0] if bases and isinstance(bases[0], list) else bases[:1]
    return [base for base in found if isinstance(base, str)]


def _find_files(error: Exception) -> list[str]:
    """Files that MMEngine was reading, each the ``_base_`` of the one before
    it."""
    files: list[str] = []
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if (
            frame.f_globals.get('__name__') == 'mmengine.config.config'
            and frame.f_code.co_name in CONFIG_READERS
        ):
            file = osp.abspath(osp.expanduser(f'{frame.f_locals["filename"]}'))
            if file not in files:
                files.append(file)
    return files


def _find_line(error: Exception, files: list[str]) -> object:
    """The line of the config in which an error was raised, if it is known."""
    if isinstance(error, SyntaxError):
        # MMEngine raises one of its own, without the line.
        if error.lineno is None and isinstance(error.__context__, SyntaxError):
            return error.__context__.lineno
        return error.lineno
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == files[-1]
    ]
    return lines[-1] if lines else None


def _reason_of(error: BaseException) -> str:
    """What an error says."""
    if isinstance(error, SyntaxError):
        inner = error.__context__
        if error.lineno is None and isinstance(inner, SyntaxError):
            error = inner
        return f'{type(error).__name__}: {error.msg}'
    return describe_error(error)


def _find_cause(error: BaseException) -> str:
    """What was raised within the module that can't be imported."""
    cause = error.__cause__
    inner = cause.__context__ if cause is not None else None
    return f' ({_reason_of(inner)})' if inner is not None else ''


def _name_holders(files: list[str]) -> str:
    """Name the configs by which a file was reached."""
    names = [f'_base_ of {file}' for file in files[1:]]
    return f' ({", ".join(names)})' if names else ''
