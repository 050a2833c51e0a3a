"""Find the files of the project, and write files.

A kill leaves the old file or the new one, never a part of it.
"""

import json
import os
import os.path as osp
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Callable, Optional, Union

import torch
from mmengine.config import Config

from .config import format_config

PACKAGE = Path(__file__).resolve().parents[1]


def find_project_folder(name: str) -> Path:
    """Find a folder of the project that is not in the package.

    A wheel brings a copy of it, and an editable install a link to it, in
    ``mmdskd/.mim``. In a source tree that is not installed, it is beside the
    package.

    Args:
        name (str): "configs" or "tools".

    Returns:
        Path: The folder, an absolute path without links.

    Raises:
        FileNotFoundError: If the package was installed without it.
    """
    folders = [PACKAGE / '.mim' / name]
    if (PACKAGE.parent / 'pyproject.toml').is_file():
        folders.append(PACKAGE.parent / name)
    for folder in folders:
        if folder.is_dir():
            return folder.resolve()
    raise FileNotFoundError(
        f'mmdskd should be installed with its folder {name!r}, but there is '
        f'none at {" or ".join(map(str, folders))}. Install it from the '
        'repository: pip install .'
    )


def write_atomically(
    path: Union[str, os.PathLike], write: Callable[[BinaryIO], Any]
) -> None:
    """Write to a temporary file beside ``path``, then rename it.

    Args:
        path (str or os.PathLike): A local path. A file there is replaced at
            the end, and stays as it was if writing fails.
        write (Callable): Writes the content to the open binary file that it
            is given.

    Raises:
        OSError: If the file can't be written.
    """
    temporary = _temporary(path)
    try:
        with open(temporary, 'wb') as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        # A full disk does not say which file.
        raise OSError(error.errno, error.strerror, osp.abspath(path)) from None
    finally:
        # There is none left after the rename.
        with suppress(OSError):
            os.remove(temporary)


def check_new_file(
    path: Union[str, os.PathLike],
    force: bool = False,
    option: str = '-o',
    content: Optional[str] = None,
) -> None:
    """Check before the work that its result can be written.

    This is the rule of all tools: a file that is there is replaced with
    ``--force`` only, and the folder has to be there.

    Args:
        path (str or os.PathLike): A local path.
        force (bool): Whether a file that is there may be replaced. Defaults
            to False.
        option (str): The argument that names the file. Defaults to '-o'.
        content (str, optional): Text that a file there may hold already.
            Defaults to None.

    Raises:
        FileExistsError: If there is a file.
        FileNotFoundError: If its folder is missing.
        IsADirectoryError: If it is a folder.
        OSError: If it can't be written there.
    """
    if osp.isdir(path):
        raise IsADirectoryError(
            f'{option} should be a file, but {os.fspath(path)!r} is a folder'
        )
    if osp.lexists(path) and not force and not _holds(path, content):
        raise FileExistsError(
            f'{path} is there already, and perhaps not as it was made: '
            f'remove it, name another file by {option}, or replace it by '
            '--force'
        )
    folder = osp.dirname(osp.abspath(path))
    if not osp.isdir(folder):
        raise FileNotFoundError(
            f'{option} should be a file in a folder that is there, but '
            f'{folder} is '
            + ('a file' if osp.lexists(folder) else 'not. Make it first')
        )
    temporary = _temporary(path)
    try:
        with open(temporary, 'wb'):
            pass
        os.remove(temporary)
    except OSError as error:
        raise OSError(
            f'{option} should be a file that can be written, but '
            f'{os.fspath(path)!r} is not: {error.strerror}'
        ) from error


def _holds(path: Union[str, os.PathLike], content: Optional[str]) -> bool:
    """Whether a file holds this text."""
    return (
        content is not None
        and osp.isfile(path)
        and Path(path).read_bytes() == content.encode()
    )


def _temporary(path: Union[str, os.PathLike]) -> str:
    """Name the file that is written in place of ``path``."""
    folder, name = osp.split(osp.abspath(path))
    return osp.join(folder, f'.{name}.{os.getpid()}.tmp')


def write_json(path: Union[str, os.PathLike], content: Any) -> None:
    """Write a JSON file, see :func:`write_atomically`.

    Args:
        path (str or os.PathLike): A local path.
        content: What to write: builtin types only.

    Raises:
        OSError: If the file can't be written.
        TypeError: If ``content`` holds other types.
        ValueError: If it holds NaN or infinity, which JSON does not have.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + '\n'
    write_atomically(path, lambda file: file.write(text.encode()))


def save_checkpoint_atomically(checkpoint: dict, path: str) -> None:
    """Save a checkpoint so that ``path`` never holds a half-written one.

    Args:
        checkpoint (dict): What to save.
        path (str): A local path. A file there is replaced at the end, and
            stays as it was if saving fails.

    Raises:
        OSError: If the file can't be written.
        RuntimeError: If torch can't write the file.
    """
    write_atomically(path, lambda file: torch.save(checkpoint, file))


def save_config_atomically(cfg: Config, path: str) -> None:
    """Save a config so that ``path`` never holds a half-written one.

    Args:
        cfg (Config): What to save.
        path (str): A local path, see :func:`save_checkpoint_atomically`.

    Raises:
        OSError: If the file can't be written.
    """
    text = format_config(cfg)
    write_atomically(path, lambda file: file.write(text.encode()))
