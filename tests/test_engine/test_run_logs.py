"""Logs of runs that do not come to their end."""

from types import SimpleNamespace

import pytest

from mmdskd.engine.run_logs import closes_logs


class Backend:
    def __init__(self, **attributes):
        self.calls = []
        self._env_initialized = True
        vars(self).update(attributes)

    def close(self):
        self.calls.append('close')


def make_runner(*backends, warnings=None):
    return SimpleNamespace(
        visualizer=SimpleNamespace(_vis_backends=dict(enumerate(backends))),
        logger=SimpleNamespace(warning=(warnings or []).append),
    )


def end(error, *backends, warnings=None):
    runner = make_runner(*backends, warnings=warnings)
    with pytest.raises(type(error)), closes_logs(runner):
        raise error


def make_mlflow(run=True):
    calls = []
    client = SimpleNamespace(
        set_terminated=lambda *arguments: calls.append(arguments)
    )
    active = SimpleNamespace(info=SimpleNamespace(run_id='7'))
    mlflow = SimpleNamespace(
        active_run=lambda: active if run else None, MlflowClient=lambda: client
    )
    return mlflow, calls


def test_a_run_that_ends_is_left_alone():
    backend = Backend()
    with closes_logs(make_runner(backend)):
        pass
    assert backend.calls == []  # MMEngine has closed it


def test_logs_are_closed():
    backend, of_another_rank = Backend(), Backend(_env_initialized=False)
    end(ValueError('x'), backend, of_another_rank)
    assert backend.calls == ['close'] and of_another_rank.calls == []


def test_wandb_learns_that_the_run_has_failed():
    codes = []
    wandb = SimpleNamespace(finish=lambda exit_code: codes.append(exit_code))
    end(SystemExit(143), Backend(_wandb=wandb))
    assert codes == [1]


@pytest.mark.parametrize(
    'error, status',
    [
        (KeyboardInterrupt(), 'KILLED'),
        (SystemExit(143), 'KILLED'),
        (RuntimeError('x'), 'FAILED'),
    ],
)
def test_mlflow_learns_how_the_run_has_ended(error, status):
    mlflow, calls = make_mlflow()
    backend = Backend(_mlflow=mlflow)
    end(error, backend)
    assert backend.calls == ['close'] and calls == [('7', status)]


def test_mlflow_begins_no_new_run():
    """Closed twice, it would."""
    mlflow, calls = make_mlflow(run=False)
    backend = Backend(_mlflow=mlflow)
    end(RuntimeError('x'), backend)
    assert backend.calls == [] and calls == []


def test_the_error_of_the_run_is_what_counts():
    backend, last, warnings = Backend(), Backend(), ['']
    backend.close = lambda: 1 / 0
    end(ValueError('x'), backend, last, warnings=warnings)
    assert warnings[1:] == [
        'The log of Backend could not be closed: ZeroDivisionError: division '
        'by zero'
    ]
    assert last.calls == ['close']
