"""Trainings that log to TensorBoard, Weights & Biases and MLflow."""

import re
import struct
import time
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmdskd.engine.checks import log_packages
from mmdskd.engine.checks.config_check import ConfigError

BRANCHES = [
    f'dskd.{name}_{term}_{branch}'.replace('._', '.')
    for name in ('', 'weight')
    for term in ('logit', 'feat')
    for branch in (0, 1)
]
# Two epochs of five iterations, of which every second is logged
TRAIN = [2, 4, 7, 9]
DOCS = Path(__file__).parents[2] / 'docs' / 'logging.md'


@pytest.fixture
def log_config(dskd_config):
    """A run of two epochs, and the backend that logs it."""

    def make(**backend) -> Config:
        cfg = dskd_config
        cfg.train_cfg.max_epochs = 2
        cfg.default_hooks.logger = dict(type='LoggerHook', interval=2)
        cfg.visualizer = dict(
            type='Visualizer',
            vis_backends=[dict(type='LocalVisBackend'), backend],
        )
        return cfg

    return make


@pytest.fixture
def stops():
    """A hook that ends a run as Ctrl-C does, after its third iteration."""

    class Stops(Hook):
        priority = 'VERY_LOW'

        def after_train_iter(self, runner, *args, **kwargs) -> None:
            if runner.iter == 2:
                raise KeyboardInterrupt

    HOOKS.register_module(module=Stops)
    yield dict(type='Stops')
    HOOKS._module_dict.pop('Stops')


def example(backend: str) -> dict:
    """The lines of the docs for a backend."""
    for block in re.findall(r'```python\n(.*?)```', DOCS.read_text(), re.S):
        if backend in block:
            cfg = Config.fromstring(block, '.py')
            return cfg.visualizer.vis_backends[1].to_dict()
    raise AssertionError(backend)


def read_tensorboard(work_dir) -> dict[str, list[tuple[int, float]]]:
    module = pytest.importorskip(
        'tensorboard.backend.event_processing.event_multiplexer'
    )
    found = module.EventMultiplexer(size_guidance=dict(scalars=0))
    found.AddRunsFromDirectory(str(work_dir)).Reload()
    logged: dict[str, list[tuple[int, float]]] = {}
    for run in sorted(found.Runs()):
        for tag in found.GetAccumulator(run).Tags()['scalars']:
            logged.setdefault(tag, []).extend(
                (event.step, event.value) for event in found.Scalars(run, tag)
            )
    return logged


def steps(logged, key):
    return [step for step, _ in logged[key]]


def test_tensorboard(run_tool, dump, log_config):
    pytest.importorskip('tensorboard')
    cfg = log_config(**example('TensorboardVisBackend'))
    run_tool('train.py', dump(cfg))
    logged = read_tensorboard(cfg.work_dir)
    for key in ('loss', 'lr', 'distill.loss_kd', 'distill.loss_dskd'):
        assert steps(logged, key) == TRAIN
    for key in BRANCHES:
        assert steps(logged, key) == TRAIN
    assert steps(logged, 'accuracy/top1') == [1, 2]
    for term in ('logit', 'feat'):
        values = zip(*(logged[f'dskd.weight_{term}_{i}'] for i in (0, 1)))
        for (_, first), (_, second) in values:
            assert first + second == pytest.approx(2)


def test_tensorboard_of_a_resumed_run(run_tool, dump, log_config):
    pytest.importorskip('tensorboard')
    cfg = log_config(type='TensorboardVisBackend')
    cfg.train_cfg.max_epochs = 1
    run_tool('train.py', dump(cfg))
    cfg.train_cfg.max_epochs = 2
    run_tool('train.py', dump(cfg), '--resume')
    assert steps(read_tensorboard(cfg.work_dir), 'dskd.logit_0') == TRAIN


def test_tensorboard_of_a_stopped_run(run_tool, dump, log_config, stops):
    """Events wait two minutes to be written, unless the log is closed."""
    pytest.importorskip('tensorboard')
    cfg = log_config(type='TensorboardVisBackend')
    cfg.custom_hooks.append(stops)
    with pytest.raises(KeyboardInterrupt):
        run_tool('train.py', dump(cfg))
    assert steps(read_tensorboard(cfg.work_dir), 'dskd.logit_0') == [2]


def test_all_validations_at_their_iterations(run_tool, dump, log_config):
    pytest.importorskip('tensorboard')
    cfg = log_config(type='TensorboardVisBackend')
    cfg.default_hooks.logger.log_metric_by_epoch = False
    run_tool('train.py', dump(cfg))
    assert steps(read_tensorboard(cfg.work_dir), 'accuracy/top1') == [5, 10]


def test_a_missing_package_is_told_first(
    run_tool, dump, log_config, monkeypatch
):
    cfg = log_config(type='WandbVisBackend')
    monkeypatch.setattr(log_packages, 'is_installed', lambda name: False)
    with pytest.raises(ConfigError) as error:
        run_tool('train.py', dump(cfg))
    assert (
        'visualizer.vis_backends[1] (WandbVisBackend) needs wandb, which is '
        'not installed: run "pip install wandb"'
    ) in str(error.value)
    assert not Path(cfg.work_dir).exists()


def read_wandb(work_dir):
    """Read what W&B keeps of an offline run.

    Returns:
        tuple[list[dict], dict, int]: Rows, config and exit code.
    """
    pytest.importorskip('wandb')
    (path,) = Path(work_dir).rglob('offline-run-*/*.wandb')
    for _ in range(300):
        rows, config, code = parse_wandb(path.read_bytes())
        if code is not None:
            break
        time.sleep(0.1)  # another process writes it
    return rows, config, code


def parse_wandb(data):
    """Parse a file of W&B: records in blocks of 32 KiB."""
    pb = pytest.importorskip('wandb.proto.wandb_internal_pb2')
    place, part = 7, b''
    rows, config, code = [], {}, None
    while place + 7 <= len(data):
        room = 32768 - place % 32768
        if room < 7:
            place += room
            continue
        _, length, kind = struct.unpack('<IHB', data[place : place + 7])
        part += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (2, 3):  # the rest follows
            continue
        record = pb.Record()
        record.ParseFromString(part)
        part = b''
        rows += [
            {
                '.'.join(item.nested_key) or item.key: float(item.value_json)
                for item in record.history.item
            }
        ] * record.HasField('history')
        config.update(
            {each.key: each.value_json for each in record.config.update}
        )
        if record.HasField('exit'):
            code = record.exit.exit_code
    return rows, config, code


def test_wandb(run_tool, dump, log_config):
    pytest.importorskip('wandb')
    cfg = log_config(**example('WandbVisBackend'))
    run_tool('train.py', dump(cfg))
    rows, config, code = read_wandb(cfg.work_dir)
    assert code == 0 and {'model', 'optim_wrapper'} <= config.keys()
    for key in ('loss', 'lr', *BRANCHES):
        assert [row['iter'] for row in rows if key in row] == TRAIN
    # A validation has the last iteration that was logged.
    assert [row['iter'] for row in rows if 'accuracy/top1' in row] == [4, 9]


def test_wandb_of_a_stopped_run(run_tool, dump, log_config, stops):
    pytest.importorskip('wandb')
    cfg = log_config(**example('WandbVisBackend'))
    cfg.custom_hooks.append(stops)
    with pytest.raises(KeyboardInterrupt):
        run_tool('train.py', dump(cfg))
    rows, _, code = read_wandb(cfg.work_dir)
    assert code == 1 and [row['iter'] for row in rows if 'lr' in row] == [2]


def read_mlflow(database):
    """Runs of a database: state, settings, metrics and files of each."""
    mlflow = pytest.importorskip('mlflow')
    client = mlflow.MlflowClient(f'sqlite:///{database}')
    runs = client.search_runs(
        [each.experiment_id for each in client.search_experiments()],
        order_by=['start_time'],
    )
    return [
        (
            run.info.status,
            run.data.params,
            {
                key: [
                    each.step
                    for each in client.get_metric_history(run.info.run_id, key)
                ]
                for key in run.data.metrics
            },
            [file.path for file in client.list_artifacts(run.info.run_id)],
        )
        for run in runs
    ]


def test_mlflow(run_tool, dump, log_config, tmp_path, monkeypatch):
    """A resumed run is a second one, whose steps go on."""
    pytest.importorskip('mlflow')
    monkeypatch.chdir(tmp_path)
    cfg = log_config(**example('MLflowVisBackend'))
    Path('work_dirs').mkdir()
    cfg.train_cfg.max_epochs = 1
    run_tool('train.py', dump(cfg))
    cfg.train_cfg.max_epochs = 2
    run_tool('train.py', dump(cfg), '--resume')
    first, second = read_mlflow('work_dirs/mlflow.db')
    for status, params, _, files in (first, second):
        assert status == 'FINISHED' and 'config.py' in files
        assert params['optim_wrapper.optimizer.type'] == 'SGD'
    for key in ('loss', 'lr', *BRANCHES):
        assert [first[2][key], second[2][key]] == [TRAIN[:2], TRAIN[2:]]
    assert 1 in first[2]['accuracy/top1'] and 2 in second[2]['accuracy/top1']
    assert not Path('mlruns').exists()


def test_mlflow_in_the_work_dir(
    run_tool, dump, log_config, tmp_path, monkeypatch, stops, capsys
):
    """By default. It was a folder of files, which MLflow refuses now."""
    pytest.importorskip('mlflow')
    monkeypatch.chdir(tmp_path)
    cfg = log_config(type='MLflowVisBackend')
    cfg.custom_hooks.append(stops)
    with pytest.raises(KeyboardInterrupt):
        run_tool('train.py', dump(cfg))
    (database,) = Path(cfg.work_dir).rglob('mlflow.db')
    ((status, _, metrics, files),) = read_mlflow(database)
    assert status == 'KILLED' and metrics['dskd.logit_0'] == [2]
    assert 'config.py' in files and not Path('mlruns').exists()
    output = ''.join(capsys.readouterr())
    assert 'dskd.logit_0' in output and 'server is running' not in output
