"""Configs in MMEngine's pure-Python style do what the others do."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.config.lazy import LazyObject
from mmengine.utils import get_installed_path

from mmdskd.engine import StudentCheckpointHook
from mmdskd.export.student_config import make_student_config
from mmdskd.export.student_weights import student_path
from mmdskd.utils import resolve_auto
from mmdskd.utils.config import type_name

ROOT = Path(__file__).resolve().parents[1]
# Which config mirrors which.
PAIRS = {
    'digits/dskd_resnet20_resnet8_thin_1xb64_digits.py': 'digits/dskd_resnet20_resnet8-thin_1xb64_digits.py',
    'cifar100/dskd_resnet32x4_resnet8x4_1xb64_cifar100.py': 'cifar100/dskd_resnet32x4_resnet8x4_1xb64_cifar100.py',
}
DIGITS, CIFAR100 = PAIRS
# Variables of old-style bases that only their own files read.
UNUSED = {'collate_fn', 'dataset_type', 'in_memory', 'train_pipeline'}


def path_of(name, pure=True):
    return (
        ROOT
        / ('mmdskd/configs/dskd' if pure else 'configs/dskd')
        / (name if pure else PAIRS[name])
    )


def make_small(cfg, work_dir, data_root=None):
    """An epoch of three iterations."""
    for loader in (
        cfg.train_dataloader,
        cfg.val_dataloader,
        cfg.test_dataloader,
    ):
        dataset = loader.dataset.get('dataset', loader.dataset)
        dataset.indices = 12
        if data_root is not None:
            dataset.data_root = data_root
        loader.batch_size = 4
        loader.num_workers = 0
        loader.persistent_workers = False
    cfg.model.teacher_ckpt = None  # trained by another config
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.checkpoint.update(interval=1, save_best=None)
    cfg.work_dir = str(work_dir)
    return cfg


@pytest.fixture
def small(request, tmp_path):
    """Load a config, of either style, for a training of seconds."""
    roots = []

    def load(name, pure=True, work_dir='run'):
        if name == CIFAR100 and not roots:
            roots.append(str(request.getfixturevalue('cifar_folder')()))
        return make_small(
            Config.fromfile(path_of(name, pure)), tmp_path / work_dir, *roots
        )

    return load


def losses_of(runner):
    """All that was logged in training but for times, as it was."""
    return {
        key: value.data[0].tolist()
        for key, value in runner.message_hub.log_scalars.items()
        if key.startswith('train/') and 'time' not in key
    }


def plain(node):
    """A config without what tells where the names of types are from."""
    if isinstance(node, dict):
        return {
            key: type_name(node) if key == 'type' else plain(value)
            for key, value in node.items()
            if key != '_scope_'
        }
    if isinstance(node, (list, tuple)):
        return [plain(item) for item in node]
    return node


def test_every_config_is_here():
    folder = ROOT / 'mmdskd/configs'
    leaves = {
        path.relative_to(folder / 'dskd').as_posix()
        for path in folder.rglob('*.py')
        if '_base_' not in path.relative_to(folder).parts
    }
    assert leaves == set(PAIRS)


@pytest.mark.parametrize('name', PAIRS)
def test_it_is_the_old_style_config(name):
    ours = Config.fromfile(path_of(name)).to_dict()
    theirs = Config.fromfile(path_of(name, pure=False)).to_dict()
    assert set(theirs) - set(ours) <= UNUSED
    theirs = {key: theirs[key] for key in theirs if key not in UNUSED}
    ours, theirs = plain(ours), plain(theirs)
    for recorders in ('student_recorders', 'teacher_recorders'):
        for cfg in ours['model'], theirs['model']:
            for recorder in cfg['distiller'][recorders].values():
                recorder['type'] = recorder['type'].rpartition('.')[2]
    assert ours == theirs


@pytest.mark.parametrize('name', PAIRS)
def test_types_are_classes(name):
    """All but those of the recorders, which MMRazor makes of strings."""
    strings = []

    def find(node, path):
        if isinstance(node, dict):
            if isinstance(node.get('type'), str):
                strings.append('.'.join(path))
            for key, value in node.items():
                find(value, (*path, key))
        elif isinstance(node, (list, tuple)):
            for index, item in enumerate(node):
                find(item, (*path, str(index)))

    find(Config.fromfile(path_of(name))._to_lazy_dict(), ())
    distiller = 'model.distiller'
    assert set(strings) == {
        f'{distiller}.student_recorders.logits',
        f'{distiller}.student_recorders.shallow',
        f'{distiller}.student_recorders.gt_labels',
        f'{distiller}.teacher_recorders.logits',
        f'{distiller}.teacher_recorders.feat',
    }


@pytest.mark.parametrize('name', PAIRS)
def test_trains_like_the_old_style_config(name, small, build_runner):
    """The same losses, weights and accuracy, number by number."""
    runners = []
    for pure in (True, False):
        cfg = small(name, pure, f'run{pure}')
        cfg.default_hooks.checkpoint = None
        del cfg.custom_hooks[1]  # which needs it
        runners.append(build_runner(cfg))
        runners[-1].train()  # a new runner sets the seed
    ours, theirs = map(losses_of, runners)
    assert {
        'train/distill.loss_kd',
        'train/distill.loss_dskd',
        'train/dskd.weight_feat_1',
    } <= set(ours)
    assert len(set(ours['train/distill.loss_dskd'])) == 3  # iterations
    assert ours == theirs
    accuracies = [
        runner.message_hub.get_scalar('val/accuracy/top1').data[0].tolist()
        for runner in runners
    ]
    assert accuracies[0] == accuracies[1]
    for name, value in runners[1].model.state_dict().items():
        assert torch.equal(value, runners[0].model.state_dict()[name]), name


def test_copy_in_the_work_dir_trains_alike(small, build_runner, tmp_path):
    cfg = small(DIGITS)
    runner = build_runner(cfg)
    runner.train()
    (copy,) = (
        path
        for path in Path(cfg.work_dir).glob('*.py')
        if path.name != 'student_config.py'
    )
    assert copy.name == DIGITS.rpartition('/')[2]
    again = Config.fromfile(copy)
    # MMEngine's Runner adds them.
    assert {
        key: value
        for key, value in again.to_dict().items()
        if key in cfg.to_dict()
    } == cfg.to_dict()
    again.work_dir = str(tmp_path / 'again')
    repeated = build_runner(again)
    repeated.train()
    assert losses_of(repeated) == losses_of(runner)


@pytest.mark.slow
def test_resumes(small, build_runner):
    cfg = small(DIGITS)
    cfg.train_cfg.max_epochs = 2
    whole = build_runner(cfg)
    whole.train()
    build_runner(small(DIGITS, work_dir='parts')).train()
    second = small(DIGITS, work_dir='parts')
    second.train_cfg.max_epochs = 2
    second.resume = True
    runner = build_runner(second)
    runner.train()
    assert runner.iter == 6
    for key in ('train/distill.loss_dskd', 'train/dskd.weight_logit_0'):
        assert losses_of(runner)[key] == losses_of(whole)[key], key


@pytest.mark.parametrize(
    'name', [DIGITS, pytest.param(CIFAR100, marks=pytest.mark.slow)]
)
def test_student_is_exported(name, small, build_runner, run_tool, tmp_path):
    cfg = small(name)
    runner = build_runner(cfg)
    runner.train()
    logged = runner.message_hub.get_scalar('val/accuracy/top1').current()
    config = Path(cfg.work_dir) / 'student_config.py'
    student = Config.fromfile(config)
    assert 'custom_hooks' not in student or not student.custom_hooks
    assert 'mmrazor' not in config.read_text()
    # The images are augmented one by one, by MMPretrain's transforms.
    assert type_name(student.model.data_preprocessor) == 'ClsDataPreprocessor'
    dataset = student.train_dataloader.dataset
    assert type_name(dataset) in ('Digits', 'CIFAR100')
    assert 'RandomCrop' in map(type_name, dataset.pipeline)

    checkpoint = student_path(str(Path(cfg.work_dir) / 'epoch_1.pth'))
    run_tool('test.py', config, checkpoint, '--work-dir', tmp_path / 'test')
    (log,) = (tmp_path / 'test').glob('*/*.json')
    assert json.loads(log.read_text())['accuracy/top1'] == logged
    # It is trained further.
    student.load_from = checkpoint
    student.work_dir = str(tmp_path / 'further')
    further = build_runner(student)
    further.train()
    assert further.iter == 3

    ours = runner.model.student
    theirs = torch.load(checkpoint, weights_only=True)['state_dict']
    for name, value in ours.state_dict().items():
        if not name.startswith('data_preprocessor'):
            assert torch.equal(value, theirs[name]), name


def test_student_of_what_is_not_built_yet():
    """Types are imported only when they are looked up."""
    cfg = Config.fromfile(path_of(DIGITS))
    assert isinstance(dict.get(cfg.custom_hooks[1], 'type'), LazyObject)
    assert cfg.custom_hooks[1].type is StudentCheckpointHook
    student = make_student_config(cfg)
    assert student.model.type == 'mmpretrain.models.ImageClassifier'
    assert student.custom_hooks == []
    assert student.custom_imports.imports == ['mmdskd']  # of its backbone


def test_student_that_begins_with_weights(tmp_path):
    """They are not named by the exported config, and a teacher's are
    loaded."""
    text = path_of(DIGITS).read_text()
    text = text.replace('..._base_', 'mmdskd.configs._base_').replace(
        'model.update(',
        'from mmengine.model import PretrainedInit\n\n'
        'resnet8_thin.update(dict(init_cfg=dict(type=PretrainedInit, '
        "checkpoint='student.pth')))\nmodel.update(",
        1,
    )
    path = tmp_path / 'config.py'
    path.write_text(text)
    cfg = Config.fromfile(path)
    assert type_name(cfg.model.architecture.init_cfg) == 'PretrainedInit'
    assert 'init_cfg' not in make_student_config(cfg).model


def test_config_of_a_user(tmp_path, build_runner):
    """One elsewhere builds on ours, by the name of the package."""
    path = tmp_path / 'mine.py'
    path.write_text(
        'from mmengine.config import read_base\n'
        'from mmdskd.models import ConvHead\n'
        'with read_base():\n'
        '    from mmdskd.configs.dskd.digits.'
        'dskd_resnet20_resnet8_thin_1xb64_digits import *\n'
        'model.update(dict(distiller=dict(connectors=dict(heads=dict(\n'
        '    head=dict(type=ConvHead, kernel_size=1))))))\n'
    )
    cfg = make_small(Config.fromfile(path), tmp_path / 'run')
    heads = build_runner(cfg).model.distiller.connectors['heads'].heads
    assert [type(head).__name__ for head in heads] == ['ConvHead'] * 2
    assert get_installed_path('mmdskd') == str(ROOT / 'mmdskd')


@pytest.mark.slow
def test_without_our_tools(tmp_path):
    """A script of MMEngine alone: the algorithm's type is looked up first,
    and with it mmdskd is imported before MMRazor is."""
    script = tmp_path / 'script.py'
    script.write_text(f"""
import sys
from mmengine.config import Config
from mmengine.runner import Runner

cfg = Config.fromfile({str(path_of(DIGITS))!r})
assert not {{'mmdskd', 'mmrazor'}} & set(sys.modules)
cfg.model.teacher_ckpt = None
cfg.work_dir = 'run'
for loader in (cfg.train_dataloader, cfg.val_dataloader):
    loader.dataset.dataset.indices = 8
cfg.train_cfg.max_epochs = 1
Runner.from_cfg(cfg).train()
print('mmrazor' in sys.modules)
""")
    result = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.endswith('True\n')


def test_tools(run_tool, small, tmp_path, capsys):
    """Train, test, and the tools that read configs and runs."""
    config, run = path_of(DIGITS), tmp_path / 'run'
    options = [
        'model.teacher_ckpt=None',
        'train_cfg.max_epochs=1',
        'train_dataloader.batch_size=4',
        'train_dataloader.dataset.dataset.indices=8',
        'val_dataloader.dataset.dataset.indices=8',
        'test_dataloader.dataset.indices=8',
    ]
    run_tool('train.py', config, '--work-dir', run, '--cfg-options', *options)
    (log,) = run.glob('*/vis_data/scalars.json')
    logged = json.loads(log.read_text().splitlines()[-1])['accuracy/top1']
    run_tool(
        'test.py',
        config,
        run / 'best_accuracy_top1_epoch_1.pth',
        '--work-dir',
        tmp_path / 'test',
        '--cfg-options',
        *options,
    )
    (log,) = (tmp_path / 'test').glob('*/*.json')
    assert json.loads(log.read_text())['accuracy/top1'] == logged

    tables = []
    for pure in (True, False):
        capsys.readouterr()
        run_tool(
            'misc/branch_table.py', '--shape', '1,16,16', path_of(DIGITS, pure)
        )
        tables.append(capsys.readouterr().out.splitlines()[-1])
    assert '7,736' in tables[0]
    assert tables[0].split('|')[2:] == tables[1].split('|')[2:]

    out = tmp_path / 'results.json'
    run_tool('misc/collect_results.py', run, '--out', out)
    (result,) = json.loads(out.read_text())['results']
    assert [
        result[key] for key in ('data', 'method', 'teacher', 'student')
    ] == ['digits', 'dskd', 'resnet20', 'resnet8_thin']
    settings = {
        setting.partition('=')[0] for setting in result['other_settings']
    }
    assert settings == {
        'model.teacher_ckpt',
        'train_cfg.max_epochs',
        'train_dataloader.batch_size',
        'train_dataloader.dataset.dataset.indices',
        'val_dataloader.dataset.dataset.indices',
    }


def test_runs_of_both_styles_are_of_one_recipe(run_tool, tmp_path):
    """They give the same numbers, and so count as seeds of one config."""
    for seed, pure in enumerate((True, False)):
        run = tmp_path / f'work_dirs/seed{seed}'
        cfg = Config.fromfile(path_of(CIFAR100, pure))
        cfg.merge_from_dict(
            {'randomness.seed': seed, 'train_cfg.max_epochs': 1}
        )
        folder = run / '20260101_120000/vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text(
            '{"accuracy/top1": 50.0, "step": 1}\n'
        )
        cfg.dump(folder / 'config.py')
        shutil.copy(folder / 'config.py', run / Path(CIFAR100).name)
    out = tmp_path / 'results.json'
    run_tool('misc/collect_results.py', tmp_path / 'work_dirs', '--out', out)
    (result,) = json.loads(out.read_text())['results']
    assert result['other_settings'] == ['train_cfg.max_epochs=1']
    assert len(result['runs']) == 2


def test_shapes_are_found(tmp_path, build_runner):
    path = tmp_path / 'mine.py'
    path.write_text(
        'from mmengine.config import read_base\n'
        'from mmdskd.models import ConvHead\n'
        'with read_base():\n'
        '    from mmdskd.configs.dskd.digits.'
        'dskd_resnet20_resnet8_thin_1xb64_digits import *\n'
        'distiller = model.distiller\n'
        'distiller.connectors.heads = dict(\n'
        "    type=distiller.connectors.heads.type, in_channels='auto',\n"
        '    head=dict(type=ConvHead))\n'
        "distiller.distill_losses.loss_dskd.num_branches = 'auto'\n"
    )
    cfg = resolve_auto(Config.fromfile(path))
    heads = cfg.model.distiller.connectors.heads
    assert (
        heads.in_channels,
        heads.strides,
        heads.out_channels,
        heads.num_classes,
    ) == ([4, 8], [4, 2], 64, 10)
    assert cfg.model.distiller.distill_losses.loss_dskd.num_branches == 2
    runner = build_runner(make_small(cfg, tmp_path / 'run'))
    assert len(runner.model.distiller.connectors['heads'].heads) == 2
