"""Close the logs of a run that does not come to its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.runner import Runner


@contextmanager
def closes_logs(runner: Runner) -> Iterator[None]:
    """Close what the visualizer writes to, whatever ends the run.

    MMEngine closes it at the regular end only. TensorBoard would lose the
    last two minutes of a run that was stopped, and W&B and MLflow would call
    it finished.

    Args:
        runner (Runner): The runner, which trains within the context.
    """
    try:
        yield
    except BaseException as error:
        was_stopped = isinstance(error, (KeyboardInterrupt, SystemExit))
        for backend in runner.visualizer._vis_backends.values():
            try:
                _close(backend, 'KILLED' if was_stopped else 'FAILED')
            # Whatever a service raises: the error above is what matters.
            except Exception as other:
                runner.logger.warning(
                    f'The log of {type(backend).__name__} could not be '
                    f'closed: {type(other).__name__}: {other}'
                )
        raise


def _close(backend: Any, status: str) -> None:
    """Close a log.

    Args:
        backend (BaseVisBackend): What writes it.
        status (str): How MLflow calls the state of the run.
    """
    if not getattr(backend, '_env_initialized', True):
        return  # on other ranks than 0
    if hasattr(backend, '_wandb'):
        backend._wandb.finish(exit_code=1)
    elif hasattr(backend, '_mlflow'):
        run = backend._mlflow.active_run()
        if run is not None:
            backend.close()
            client = backend._mlflow.MlflowClient()
            client.set_terminated(run.info.run_id, status)
    else:
        backend.close()
