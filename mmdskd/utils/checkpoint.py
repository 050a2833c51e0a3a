"""Read checkpoints without running code from them."""

import inspect
import os
import pickle
import re
import tarfile
import zipfile
from _codecs import encode
from collections import Counter
from types import SimpleNamespace
from typing import IO, Any, Callable, Optional, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

try:
    from numpy._core.multiarray import _reconstruct, scalar
except ImportError:  # numpy 1
    from numpy.core.multiarray import _reconstruct, scalar  # type: ignore[no-redef]

MapLocation = Optional[Union[str, torch.device, dict[str, str], Callable]]

CAN_MAP = 'mmap' in inspect.signature(torch.load).parameters
# Where a file that is no checkpoint is given in place of one.
CONFIGS = ('.py', '.json', '.yaml', '.yml', '.txt', '.log', '.md')
HISTORY_BUFFER_METHODS = ('min', 'max', 'current', 'mean')


class CheckpointError(RuntimeError):
    """A file is not a checkpoint, or it is one that is not safe to read."""


def _history_buffer_method(*args: Any) -> Callable:
    """Stand in for ``getattr`` in a pickled checkpoint.

    ``HistoryBuffer`` pickles four of its methods, and a pickled method is a
    call of ``getattr``. The real ``getattr`` would hand a crafted file
    everything from ``__globals__`` on, so this answers these methods alone.

    Args:
        args: The arguments of the pickled call: owner and name.

    Returns:
        Callable: The method of ``HistoryBuffer``.
    """
    if (
        len(args) == 2
        and args[0] is HistoryBuffer
        and isinstance(args[1], str)
        and args[1] in HISTORY_BUFFER_METHODS
    ):
        return vars(HistoryBuffer)[args[1]]
    raise pickle.UnpicklingError(
        f'Unsupported global: GLOBAL getattr, called with {args}, is only '
        f'allowed for {HISTORY_BUFFER_METHODS} of HistoryBuffer.'
    )


def _renamed(function: Callable, path: str) -> Callable:
    """Give ``function`` the dotted name under which a pickle asks for it.

    ``torch.serialization.add_safe_globals`` takes the name from the function
    itself, and takes a name of its own only from torch 2.6 on.
    """

    def renamed(*args: Any) -> Any:
        return function(*args)

    renamed.__module__, _, renamed.__qualname__ = path.rpartition('.')
    renamed.__name__ = renamed.__qualname__
    return renamed


def _mmengine_globals() -> dict[str, Callable]:
    """List what a checkpoint of MMEngine holds besides tensors.

    Returns:
        Dict[str, Callable]: The dotted name in the pickle, and what it
        stands for. Python 2 names are there because ``torch.save`` writes
        pickle protocol 2, both ``numpy.core`` and ``numpy._core`` so that
        numpy 1 and 2 read each other's files.
    """
    allowed = {
        'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer,
        'collections.Counter': Counter,
        '_codecs.encode': encode,
        'numpy.ndarray': np.ndarray,
        'numpy.dtype': np.dtype,
    }
    functions = {
        'getattr': (_history_buffer_method, ('builtins', '__builtin__')),
        '_reconstruct': (
            _reconstruct,
            ('numpy.core.multiarray', 'numpy._core.multiarray'),
        ),
        'scalar': (
            scalar,
            ('numpy.core.multiarray', 'numpy._core.multiarray'),
        ),
    }
    for name, (function, modules) in functions.items():
        for module in modules:
            path = f'{module}.{name}'
            allowed[path] = _renamed(function, path)
    # The types of numbers: torch checks the type of all that has a state.
    for code in '?bhilqBHILQefd':
        dtype_class = type(np.dtype(code))
        path = f'{dtype_class.__module__}.{dtype_class.__name__}'
        allowed[path] = dtype_class
    return allowed


MMENGINE_GLOBALS = _mmengine_globals()


def allow_mmengine_globals() -> None:
    """Let ``weights_only=True`` read exactly what MMEngine saves.

    Torch forgets what it allowed when ``torch.serialization.safe_globals`` of
    others ends, and would take the real ``getattr`` if others have allowed
    it. So this is called before each load, and takes that away. torch < 2.4
    has no such list.
    """
    serialization = torch.serialization
    if not hasattr(serialization, 'add_safe_globals'):
        return
    allowed = list(serialization.get_safe_globals())
    others = [
        value
        for value in allowed
        if value is not getattr
        and not (isinstance(value, tuple) and value[0] is getattr)
    ]
    if len(others) < len(allowed):
        serialization.clear_safe_globals()
        serialization.add_safe_globals(others)
    # torch 2.4 has a list, which keeps what is added twice.
    there = {id(value) for value in others}
    serialization.add_safe_globals(
        [x for x in MMENGINE_GLOBALS.values() if id(x) not in there]
    )


class _RestrictedUnpickler(pickle.Unpickler):
    """An unpickler that knows weights and MMEngine's classes only.

    torch < 2.4 has no list of allowed classes to add to, and its own
    restricted unpickler does not even know floats. So this one takes what
    that one allows, plus ``MMENGINE_GLOBALS``.
    """

    def find_class(self, module_name: str, global_name: str) -> Any:
        from torch._weights_only_unpickler import _get_allowed_globals

        path = f'{module_name}.{global_name}'
        allowed = {**_get_allowed_globals(), **MMENGINE_GLOBALS}
        if path not in allowed:
            raise pickle.UnpicklingError(f'Unsupported global: GLOBAL {path}')
        return allowed[path]


def _restricted_load(file: IO[bytes], **kwargs: Any) -> Any:
    return _RestrictedUnpickler(file, **kwargs).load()


_RESTRICTED_PICKLE = SimpleNamespace(
    __name__='restricted_pickle',
    Unpickler=_RestrictedUnpickler,
    load=_restricted_load,
)


def _is_other_archive(filename: str) -> bool:
    """Whether a file is a TorchScript or tar archive.

    ``torch.load`` hands them on to code that ``weights_only`` does not
    restrict on torch < 2.6 (CVE-2025-32434).
    """
    if zipfile.is_zipfile(filename):
        with zipfile.ZipFile(filename) as archive:
            return any(
                os.path.basename(name) == 'constants.pkl'
                for name in archive.namelist()
            )
    return tarfile.is_tarfile(filename)


def load_checkpoint_file(
    filename: Union[str, os.PathLike],
    map_location: MapLocation = 'cpu',
    mmap: bool = False,
) -> dict:
    """Read a checkpoint file without running code from it.

    Tensors, plain Python values and what MMEngine saves for a resume are
    read; every other class or function in the file is refused. This holds
    for every version of torch: ``weights_only=True`` where the list of
    allowed classes can be extended (torch >= 2.4), else a restricted
    unpickler for what ``weights_only=True`` refuses.

    Args:
        filename (str or os.PathLike): A local path.
        map_location: Where to put the tensors, as in :func:`torch.load`.
            Defaults to 'cpu'.
        mmap (bool): Whether the tensors stay in the file until they are
            used, where torch can do that (>= 2.1). Defaults to False.

    Returns:
        dict: The checkpoint.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is no checkpoint, is truncated, or holds a
            class or function that is not allowed.
    """
    path = os.path.abspath(os.path.expanduser(filename))
    if not os.path.isfile(path):
        raise FileNotFoundError(f'checkpoint "{path}" does not exist')
    try:
        checkpoint = _load(path, map_location, mmap)
    except CheckpointError:
        raise
    # A damaged file can raise anything.
    except Exception as error:
        if path.lower().endswith(CONFIGS):
            raise CheckpointError(
                f'"{path}" should be a checkpoint, such as epoch_1.pth, but '
                'it is a config or another text: are the two swapped?'
            ) from None
        refused = re.search(r'GLOBAL (\S+[^\s.,])', str(error))
        if refused:
            # Not `from error`: torch advises to turn weights_only off.
            raise CheckpointError(
                f'"{path}" was not loaded: it would run code or holds an '
                f'unknown class, "{refused[1]}". A checkpoint may hold '
                'tensors, plain Python values and what MMEngine saves for a '
                'resume. If you trust the file, save its state_dict alone '
                'and load that.'
            ) from None
        raise CheckpointError(
            f'"{path}" cannot be read as a checkpoint; it is truncated or '
            f'something else ({type(error).__name__})'
        ) from (None if isinstance(error, pickle.UnpicklingError) else error)
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f'"{path}" should hold a dict, but got {type(checkpoint).__name__}'
        )
    return checkpoint


def _load(path: str, map_location: MapLocation, mmap: bool) -> Any:
    """Load by the safest way that this torch has."""
    if _is_other_archive(path):
        raise CheckpointError(
            f'"{path}" should be a checkpoint that torch.save wrote, but got '
            'a TorchScript or tar archive'
        )
    options = {}
    if mmap and CAN_MAP and zipfile.is_zipfile(path):
        options['mmap'] = True
    allow_mmengine_globals()
    try:
        return torch.load(
            path, map_location=map_location, weights_only=True, **options
        )
    except pickle.UnpicklingError:
        if hasattr(torch.serialization, 'add_safe_globals'):
            raise
    # Not `torch.load(pickle_module=...)`: torch 1.13 drops that argument and
    # unpickles without any restriction.
    if zipfile.is_zipfile(path):
        with torch.serialization._open_zipfile_reader(path) as reader:
            return torch.serialization._load(
                reader, map_location, _RESTRICTED_PICKLE, encoding='utf-8'
            )
    with open(path, 'rb') as file:
        return torch.serialization._legacy_load(
            file, map_location, _RESTRICTED_PICKLE, encoding='utf-8'
        )
