"""What MMEngine 0.10 needs so that MLflow keeps the log of a run.

A patch gets the module that has just been imported. Until one runs, neither
MMEngine nor MLflow is imported.
"""

import logging
import os
import os.path as osp
from collections.abc import Iterator
from functools import wraps
from types import ModuleType
from typing import Any

#: Names in the folder of a visualizer's backend.
DATABASE = 'mlflow.db'
ARTIFACTS = 'mlflow_artifacts'
#: Name of an experiment that has none.
EXPERIMENT = 'mmdskd'


def keep_mlflow_in_a_database(vis_backend: ModuleType) -> None:
    """Let ``MLflowVisBackend`` without a ``tracking_uri`` write a database.

    It writes a folder of files then, which newer releases of MLflow refuse
    (the file store is in maintenance mode) unless ``MLFLOW_ALLOW_FILE_STORE``
    is true. Here it writes ``mlflow.db`` into the same folder. Of a database
    it also says that a server should be running: none is needed. (No issue of
    either is known.)

    Args:
        vis_backend (ModuleType): ``mmengine.visualization.vis_backend``.
    """
    backend = vis_backend.MLflowVisBackend
    init_env = backend._init_env
    if hasattr(init_env, '__wrapped__'):
        return

    @wraps(init_env)
    def init_database(self: Any) -> None:
        if self._tracking_uri is None and refuses_files():
            folder = osp.abspath(self._save_dir)
            os.makedirs(folder, exist_ok=True)
            self._tracking_uri = f'sqlite:///{osp.join(folder, DATABASE)}'
            # Files of the experiment that is there already, "Default",
            # would go to the folder of the command.
            self._exp_name = self._exp_name or EXPERIMENT
            if self._artifact_location is None:
                self._artifact_location = osp.join(folder, ARTIFACTS)
        logger = vis_backend.MMLogger.get_current_instance()
        is_local = str(self._tracking_uri).startswith(('sqlite:', 'file:'))
        if is_local:
            logger.addFilter(_speaks_of_no_server)
        try:
            init_env(self)
        finally:
            logger.removeFilter(_speaks_of_no_server)

    backend._init_env = init_database


def _speaks_of_no_server(record: logging.LogRecord) -> bool:
    """Whether a line of the log may pass."""
    return 'mlflow server is running' not in record.getMessage()


def refuses_files() -> bool:
    """Whether the installed MLflow refuses to write a folder of files.

    Returns:
        bool: Whether it does. If MLflow is missing, it does not.
    """
    try:
        from mlflow import environment_variables
    except ImportError:
        return False
    allowed = getattr(environment_variables, 'MLFLOW_ALLOW_FILE_STORE', None)
    return allowed is not None and not allowed.get()


def leave_out_copies(vis_backend: ModuleType) -> None:
    """Let MLflow copy the files of a run, but not its own copies of them.

    ``MLflowVisBackend.close`` copies all logs and configs of the ``work_dir``
    into a folder that is in the ``work_dir`` by default. Each resume would
    copy the copies of those before, and so double them. (No issue of it is
    known.)

    Args:
        vis_backend (ModuleType): ``mmengine.visualization.vis_backend``.
    """
    scandir = vis_backend.scandir
    if hasattr(scandir, '__wrapped__'):
        return

    @wraps(scandir)
    def scan_originals(*args: Any, **kwargs: Any) -> Iterator[str]:
        for path in scandir(*args, **kwargs):
            folders = path.replace(os.sep, '/').split('/')
            if not {ARTIFACTS, 'artifacts', 'mlruns'} & set(folders):
                yield path

    vis_backend.scandir = scan_originals  # type: ignore[attr-defined]
