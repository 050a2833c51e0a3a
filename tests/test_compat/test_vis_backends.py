"""What MMEngine's backends of the visualizer need."""

import io
import logging
import sys
from types import SimpleNamespace

import mmengine.visualization.vis_backend as vis_backend
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmdskd.compat.vis_backends import (
    keep_mlflow_in_a_database,
    leave_out_copies,
    refuses_files,
)


def test_patches_may_run_twice():
    before = vis_backend.MLflowVisBackend._init_env, vis_backend.scandir
    keep_mlflow_in_a_database(vis_backend)
    leave_out_copies(vis_backend)
    assert (
        vis_backend.MLflowVisBackend._init_env,
        vis_backend.scandir,
    ) == before


@pytest.fixture(autouse=True)
def output(monkeypatch):
    """What is logged, by a logger that no other test has used."""
    logger = logging.Logger('of this test', 'WARNING')
    handler = logging.StreamHandler(io.StringIO())
    logger.addHandler(handler)
    monkeypatch.setattr(MMLogger, 'get_current_instance', lambda: logger)
    return handler.stream


@pytest.fixture
def mlflow(monkeypatch):
    """An MLflow that notes what it is asked to log, and no more."""
    noted = SimpleNamespace(uri=None, experiments={}, files=[])
    stub = SimpleNamespace(
        environment_variables=SimpleNamespace(),
        set_tracking_uri=lambda uri: vars(noted).update(uri=uri),
        get_experiment_by_name=lambda name: None,
        create_experiment=lambda name, artifact_location: (
            noted.experiments.update({name: artifact_location})
        ),
        set_experiment=lambda name: None,
        log_params=lambda params: None,
        log_text=lambda text, path: None,
        log_artifact=lambda path, folder: noted.files.append(path),
        end_run=lambda: None,
    )
    monkeypatch.setitem(sys.modules, 'mlflow', stub)
    return stub, noted


def refuse_files(stub, allowed):
    stub.environment_variables.MLFLOW_ALLOW_FILE_STORE = SimpleNamespace(
        get=lambda: allowed
    )


def test_mlflow_that_takes_files(mlflow, tmp_path):
    stub, noted = mlflow
    for allowed in (None, True):
        if allowed:
            refuse_files(stub, allowed)
        assert not refuses_files()
        vis_backend.MLflowVisBackend(str(tmp_path)).experiment  # noqa: B018
        assert noted.uri == f'file://{tmp_path}'
        assert noted.experiments == {'Default': None}


def test_mlflow_that_refuses_files(mlflow, tmp_path, output):
    stub, noted = mlflow
    refuse_files(stub, False)
    vis_backend.MLflowVisBackend(str(tmp_path)).experiment  # noqa: B018
    assert noted.uri == f'sqlite:///{tmp_path}/mlflow.db'
    assert noted.experiments == {'mmdskd': f'{tmp_path}/mlflow_artifacts'}
    assert not output.getvalue()


def test_what_is_given_is_kept(mlflow, tmp_path, output):
    stub, noted = mlflow
    refuse_files(stub, False)
    vis_backend.MLflowVisBackend(  # noqa: B018
        str(tmp_path), exp_name='a', tracking_uri='http://b'
    ).experiment
    assert noted.uri == 'http://b' and noted.experiments == {'a': None}
    assert 'mlflow server is running' in output.getvalue()


def test_copies_are_not_copied(mlflow, tmp_path):
    _, noted = mlflow
    for name in (
        'run.log',
        'vis_data/config.py',
        'vis_data/mlflow_artifacts/7/artifacts/config.py',
        'vis_data/mlruns/0/7/artifacts/run.log',
        'elsewhere/7/artifacts/run.log',
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    backend = vis_backend.MLflowVisBackend(str(tmp_path / 'vis_data'))
    backend.add_config(Config(dict(work_dir=str(tmp_path))))
    backend.close()
    assert sorted(noted.files) == [
        str(tmp_path / 'run.log'),
        str(tmp_path / 'vis_data' / 'config.py'),
    ]
