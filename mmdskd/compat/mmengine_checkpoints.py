"""What MMEngine 0.10 needs so that a kill leaves no half-written file.

A patch gets the module that has just been imported. Until one runs, neither
torch nor MMEngine is imported.
"""

import io
from functools import wraps
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from mmengine.runner import Runner

#: Name in the message hub: files to delete once a checkpoint is saved.
OUTDATED_KEY = 'outdated_ckpts'


def pop_outdated(hub: Any) -> list[str]:
    """Forget which files are to be deleted once a checkpoint is saved.

    Args:
        hub (MessageHub): The message hub of a run. It would warn of a key
            that it saves as resumed, and holds no more.

    Returns:
        list[str]: Their paths.
    """
    hub._resumed_keys.pop(OUTDATED_KEY, None)
    return hub.runtime_info.pop(OUTDATED_KEY, [])


def write_local_files_atomically(local_backend: ModuleType) -> None:
    """Let MMEngine replace a local file only when the new one is whole.

    It writes checkpoints over the old ones in place. A kill, or a full disk,
    in that moment leaves a torn file.

    Args:
        local_backend (ModuleType): ``mmengine.fileio.backends.local_backend``.
    """
    backend = local_backend.LocalBackend
    put = backend.put
    if hasattr(put, '__wrapped__'):
        return

    @wraps(put)
    def put_atomically(self: Any, obj: bytes, filepath: Any) -> None:
        from mmdskd.utils.files import write_atomically

        local_backend.mmengine.mkdir_or_exist(
            local_backend.osp.dirname(filepath)
        )
        write_atomically(filepath, lambda file: file.write(obj))

    backend.put = put_atomically


class AtomicTextFile(io.StringIO):
    """A text file that is there when it is closed without an error.

    Args:
        path (str): Its path.
        mode (str): Must be 'w'.
    """

    def __init__(self, path: str, mode: str) -> None:
        assert mode == 'w'
        super().__init__()
        self.path = path

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        from mmdskd.utils.files import write_atomically

        if kind is None:
            content = self.getvalue().encode()
            write_atomically(self.path, lambda file: file.write(content))
        super().__exit__(kind, error, traceback)


class _DeletingLater:
    """A file backend that notes what it is to delete.

    Args:
        backend (BaseStorageBackend): Serves all else.
        runner (Runner): Its message hub keeps the note, so that it is in the
            checkpoint which is saved meanwhile.
    """

    def __init__(self, backend: Any, runner: 'Runner') -> None:
        self.backend = backend
        self.runner = runner
        self.paths: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.paths.append(path)
        hub = self.runner.message_hub
        hub.update_info(OUTDATED_KEY, [*hub.get_info(OUTDATED_KEY, []), path])


def save_checkpoints_safely(checkpoint_hook: ModuleType) -> None:
    """Make ``CheckpointHook`` safe against a kill at any moment.

    - It writes ``last_checkpoint`` in place: killed then, it is empty.
    - It deletes the old best checkpoint, and with ``max_keep_ckpts=1`` the
      only one, before it writes the new one. Here a file is deleted when the
      new one is whole. What is to be deleted is noted in the new one, so that
      a resumed run can make up for it.
    - Only rank 0 learns that a checkpoint is saved. Here hooks with a method
      ``before_gather_checkpoint`` are called on all ranks.

    Args:
        checkpoint_hook (ModuleType): ``mmengine.hooks.checkpoint_hook``.
    """
    hook = checkpoint_hook.CheckpointHook
    save, save_best = (
        hook._save_checkpoint_with_step,
        (hook._save_best_checkpoint),
    )
    if hasattr(save, '__wrapped__'):
        return
    checkpoint_hook.open = AtomicTextFile  # type: ignore[attr-defined]

    @wraps(save)
    def save_with_step(
        self: Any, runner: 'Runner', step: int, meta: dict
    ) -> None:
        runner.call_hook('before_gather_checkpoint')
        if self.max_keep_ckpts == 1:
            _delete_afterwards(save, self, runner, step, meta)
        else:
            save(self, runner, step, meta)

    @wraps(save_best)
    def save_best_checkpoint(
        self: Any, runner: 'Runner', metrics: dict
    ) -> None:
        if self.save_best:
            _delete_afterwards(save_best, self, runner, metrics)

    hook._save_checkpoint_with_step = save_with_step
    hook._save_best_checkpoint = save_best_checkpoint


def _delete_afterwards(
    save: Any, hook: Any, runner: 'Runner', *args: Any
) -> None:
    """Save, and delete only then what is outdated."""
    if isinstance(hook.file_backend, _DeletingLater):  # for the best one
        save(hook, runner, *args)
        return
    backend = hook.file_backend
    hook.file_backend = later = _DeletingLater(backend, runner)
    try:
        save(hook, runner, *args)
    finally:
        hook.file_backend = backend
    if later.paths:
        info = runner.message_hub.runtime_info
        current = {
            value
            for key, value in info.items()
            if key == 'last_ckpt' or key.startswith('best_ckpt')
        }
        for path in later.paths:
            if path not in current:
                backend.remove(path)
        outdated = pop_outdated(runner.message_hub)
        rest = [path for path in outdated if path not in later.paths]
        if rest:
            runner.message_hub.update_info(OUTDATED_KEY, rest)
