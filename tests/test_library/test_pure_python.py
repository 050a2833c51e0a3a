"""docs/library.md: a config in MMEngine's pure-Python style."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.config.lazy import LazyObject
from test_library.page import blocks

from mmdskd.engine import StudentCheckpointHook
from mmdskd.export.student_config import make_student_config
from mmdskd.models import DSKDLoss
from mmdskd.utils import resolve_auto
from mmdskd.utils.config import type_name

NAME = 'dskd_resnet20_resnet8-thin_1xb64_digits.py'
SMALL = {
    'model.teacher_ckpt': None,
    'train_cfg.max_epochs': 1,
    'randomness.seed': 0,
    'train_dataloader.batch_size': 4,
    'train_dataloader.dataset.dataset.indices': 8,
    'val_dataloader.dataset.dataset.indices': 8,
    'test_dataloader.dataset.dataset.indices': 8,
}


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    """The config of the page, as a file."""
    (code,) = blocks('Pure-Python configs')
    path = tmp_path_factory.mktemp('pure_python') / NAME
    path.write_text(code)
    return path


@pytest.fixture
def load(path, tmp_path):
    """Load it for two iterations and a validation."""

    def load(work_dir='run', **changes):
        cfg = Config.fromfile(path)
        cfg.merge_from_dict({**SMALL, **changes})
        cfg.work_dir = str(tmp_path / work_dir)
        return resolve_auto(cfg)

    return load


@pytest.fixture(scope='module')
def run(path, build_runner, tmp_path_factory):
    """The runner of a finished training."""
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(SMALL)
    cfg.work_dir = str(tmp_path_factory.mktemp('run'))
    runner = build_runner(resolve_auto(cfg))
    runner.train()
    return runner


def losses_of(runner):
    return {
        key: value.data[0]
        for key, value in runner.message_hub.log_scalars.items()
        if key.startswith(('train/distill', 'train/student', 'train/dskd'))
    }


def accuracy_of(runner):
    return runner.message_hub.get_scalar('val/accuracy/top1').current()


def test_types_are_classes(path):
    """All but those of the recorders, which MMRazor makes of strings."""
    strings = []

    def find(node, name):
        if isinstance(node, dict):
            if isinstance(node.get('type'), str):
                strings.append(name)
            for key, value in node.items():
                find(value, f'{name}.{key}')
        elif isinstance(node, (list, tuple)):
            for item in node:
                find(item, name)

    find(Config.fromfile(path)._to_lazy_dict(), 'cfg')
    assert set(strings) == {
        'cfg.model.distiller.student_recorders.logits',
        'cfg.model.distiller.student_recorders.shallow',
        'cfg.model.distiller.teacher_recorders.logits',
        'cfg.model.distiller.teacher_recorders.feat',
    }


def test_it_trains(run):
    """By parts whose shapes are found."""
    connector = run.cfg.model.distiller.connectors.heads
    assert {
        key: value for key, value in connector.items() if key != 'type'
    } == dict(
        in_channels=[4, 8], strides=[4, 2], out_channels=64, num_classes=10
    )
    (loss_dskd,) = (
        loss
        for loss in run.model.distiller.distill_losses.values()
        if isinstance(loss, DSKDLoss)
    )
    assert loss_dskd.num_branches == 2
    losses = losses_of(run)
    assert {
        'train/student.loss',
        'train/distill.loss_kd',
        'train/distill.loss_dskd',
        'train/dskd.logit_0',
        'train/dskd.weight_feat_1',
    } <= set(losses)
    assert np.isfinite(losses['train/distill.loss_dskd']).all()
    assert len(set(losses['train/distill.loss_dskd'])) == 2  # iterations


def test_copy_in_the_work_dir_trains_alike(run, build_runner, tmp_path):
    again = Config.fromfile(Path(run.work_dir) / NAME)
    again.work_dir = str(tmp_path)
    repeated = build_runner(again)
    repeated.train()
    theirs = losses_of(repeated)
    for key, value in losses_of(run).items():
        np.testing.assert_allclose(theirs[key], value, rtol=1e-4, err_msg=key)


def test_student_is_exported(run, build_runner, tmp_path):
    """It gives the logged accuracy, and is trained further."""
    path = Path(run.work_dir) / 'student_config.py'
    assert 'mmrazor' not in path.read_text()
    student = Config.fromfile(path)
    assert not student.get('custom_hooks')
    # The images are augmented one by one, by MMPretrain's transforms.
    assert type_name(student.model.data_preprocessor) == 'ClsDataPreprocessor'
    dataset = student.train_dataloader.dataset
    assert type_name(dataset) == 'Digits'
    assert 'RandomCrop' in map(type_name, dataset.pipeline)

    (checkpoint,) = Path(run.work_dir).glob('best_*_student.pth')
    weights = torch.load(checkpoint, weights_only=True)['state_dict']
    for name, value in run.model.student.state_dict().items():
        if not name.startswith('data_preprocessor'):
            assert torch.equal(value, weights[name]), name
    student.load_from = str(checkpoint)
    student.work_dir = str(tmp_path)
    exported = build_runner(student)
    assert exported.test()['accuracy/top1'] == accuracy_of(run)
    exported.train()
    assert exported.iter == 2


def test_student_of_what_is_not_built_yet(path):
    """Types are imported only when they are looked up."""
    cfg = Config.fromfile(path)
    assert isinstance(dict.get(cfg.custom_hooks[1], 'type'), LazyObject)
    assert cfg.custom_hooks[1].type is StudentCheckpointHook
    student = make_student_config(cfg)
    assert student.model.type == 'mmpretrain.models.ImageClassifier'
    assert student.custom_hooks == []
    assert student.custom_imports.imports == ['mmdskd']  # of its backbone


def test_student_that_begins_with_weights(path, tmp_path):
    """They are not named by the exported config."""
    mine = tmp_path / 'config.py'
    mine.write_text(
        f'from mmengine.model import PretrainedInit\n{path.read_text()}\n'
        "model['architecture']['init_cfg'] = dict(\n"
        "    type=PretrainedInit, checkpoint='student.pth')\n"
    )
    cfg = Config.fromfile(mine)
    assert type_name(cfg.model.architecture.init_cfg) == 'PretrainedInit'
    assert 'init_cfg' not in make_student_config(cfg).model


def test_other_parts(path, tmp_path, build_runner):
    """Heads and losses by their classes, MMPretrain's, too."""
    mine = tmp_path / 'config.py'
    mine.write_text(
        'from mmrazor.models import DISTLoss\n'
        f'from mmdskd.models import ConvHead\n{path.read_text()}\n'
        "distiller = model['distiller']\n"
        "distiller['connectors']['heads']['head'] = dict(\n"
        '    type=ConvHead, kernel_size=1)\n'
        "loss = distiller['distill_losses']['loss_dskd']\n"
        "loss['logit_loss'] = dict(type=DISTLoss)\n"
        "loss['label_loss'] = dict(type=CrossEntropyLoss)\n"
        "distiller['student_recorders']['gt_labels'] = dict(\n"
        "    type='mmrazor.ModuleInputs', source='head.loss_module')\n"
        "mapping = distiller['loss_forward_mappings']['loss_dskd']\n"
        "mapping['gt_labels'] = dict(\n"
        "    from_student=True, recorder='gt_labels', data_idx=1)\n"
    )
    cfg = Config.fromfile(mine)
    cfg.merge_from_dict(SMALL)
    cfg.work_dir = str(tmp_path)
    distiller = build_runner(resolve_auto(cfg)).model.distiller
    heads = distiller.connectors['heads'].heads
    assert [type(head).__name__ for head in heads] == ['ConvHead'] * 2
    criteria = distiller.distill_losses['loss_dskd'].criteria
    assert [
        f'{type(ours[0]).__module__.split(".")[0]}.{type(ours[0]).__name__}'
        for ours in criteria.values()
    ] == ['mmrazor.DISTLoss', 'mmrazor.L2Loss', 'mmpretrain.CrossEntropyLoss']


def test_tools(run_tool, path, tmp_path, capsys):
    """Train, test, and the tools that read configs and runs."""
    work_dir = tmp_path / 'run'
    options = [f'{key}={value}' for key, value in SMALL.items()]
    options = ['--cfg-options', *options, f'experiment_name={uuid.uuid4()}']
    run_tool('train.py', path, '--work-dir', work_dir, *options)
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    logged = json.loads(log.read_text().splitlines()[-1])['accuracy/top1']
    run_tool(
        'test.py',
        path,
        work_dir / 'best_accuracy_top1_epoch_1.pth',
        '--work-dir',
        tmp_path / 'test',
        *options,
    )
    (log,) = (tmp_path / 'test').glob('*/*.json')
    assert json.loads(log.read_text())['accuracy/top1'] == logged

    capsys.readouterr()
    run_tool('misc/branch_table.py', '--shape', '1,16,16', path)
    assert '7,736' in capsys.readouterr().out.splitlines()[-1]

    out = tmp_path / 'results.json'
    run_tool('misc/collect_results.py', work_dir, '--out', out)
    (result,) = json.loads(out.read_text())['results']
    assert [
        result[key] for key in ('data', 'method', 'teacher', 'student')
    ] == ['digits', 'dskd', 'resnet20', 'resnet8-thin']


@pytest.mark.slow
def test_resumes(load, build_runner):
    whole = build_runner(load(**{'train_cfg.max_epochs': 2}))
    whole.train()
    build_runner(load('parts')).train()
    second = load('parts', **{'train_cfg.max_epochs': 2})
    second.resume = True
    runner = build_runner(second)
    runner.train()
    assert runner.iter == 4
    for key in ('train/distill.loss_dskd', 'train/dskd.weight_logit_0'):
        np.testing.assert_allclose(
            losses_of(runner)[key], losses_of(whole)[key], rtol=1e-4
        )


@pytest.mark.slow
def test_without_our_tools(path, tmp_path):
    """A script of MMEngine alone: the algorithm's type is looked up first,
    and with it mmdskd is imported before MMRazor is."""
    script = tmp_path / 'script.py'
    script.write_text(f"""
import sys
import uuid
from mmengine.config import Config
from mmengine.runner import Runner

cfg = Config.fromfile({str(path)!r})
assert not {{'mmdskd', 'mmrazor'}} & set(sys.modules)
cfg.merge_from_dict({SMALL!r})
distiller = cfg.model.distiller
distiller.connectors.heads.update(
    in_channels=[4, 8], strides=[4, 2], out_channels=64, num_classes=10)
distiller.distill_losses.loss_dskd.num_branches = 2
cfg.work_dir = 'run'
Runner.from_cfg(cfg).train()
print('mmrazor' in sys.modules)
""")
    result = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.endswith('True\n')
