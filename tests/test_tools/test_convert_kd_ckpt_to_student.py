import copy
import os
import re

import hooked_networks  # noqa: F401  (registers them)
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdskd.utils.state_dict import find_tensors


@pytest.fixture
def convert(run_tool, capsys):
    """Run the tool, and return what it prints."""

    def run(*args, ok=True):
        code = None
        try:
            run_tool('model_converters/convert_kd_ckpt_to_student.py', *args)
        except SystemExit as error:
            code = error.code
        out, err = capsys.readouterr()
        assert (code is None) == ok, (code, err)
        return out if ok else f'{err}{code}'

    return run


@pytest.fixture
def source(kd_config, tmp_path):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        algorithm = MODELS.build(copy.deepcopy(kd_config.model))
    path = tmp_path / 'epoch_1.pth'
    torch.save(
        dict(
            meta=dict(epoch=1, cfg='teacher = 1'),
            state_dict=algorithm.state_dict(),
            optimizer={},
        ),
        str(path),
    )
    return path


def assert_is_student(path, source, cfg='teacher = 1'):
    whole = torch.load(str(source), weights_only=True)['state_dict']
    student = torch.load(str(path), weights_only=True)
    assert set(student) == {'meta', 'state_dict'}
    assert student['meta']['cfg'] == cfg
    assert len(student['state_dict']) > 1
    assert 2 * len(student['state_dict']) == len(whole)
    for name, value in student['state_dict'].items():
        assert torch.equal(value, whole[f'architecture.{name}'])


def test_beside_the_checkpoint_and_its_config(convert, source, kd_config):
    folder = source.parent
    before = source.read_bytes()
    run_config = folder / 'kd.py'
    kd_config.dump(str(run_config))
    out = convert(source, '--config', run_config)
    assert source.read_bytes() == before
    cfg = Config.fromfile(str(folder / 'student_config.py'))
    assert cfg.model.type == 'ImageClassifier'
    assert cfg.model.data_preprocessor == kd_config.model.data_preprocessor
    assert_is_student(folder / 'epoch_1_student.pth', source, cfg.pretty_text)
    assert re.search(r'epoch_1_student.pth: (\d+) of the \d+ tensors', out)
    assert 'student_config.py' in out


@pytest.mark.parametrize(
    'out_path, expected',
    [('out', 'out/epoch_1_student.pth'), ('out/mine.pth', 'out/mine.pth')],
)
def test_out_path(convert, source, out_path, expected):
    folder = source.parent
    (folder / 'out').mkdir()
    convert(source, '--out-path', folder / out_path)
    assert_is_student(folder / expected, source)
    assert os.listdir(folder / 'out') == [os.path.basename(expected)]
    assert not (folder / 'student_config.py').exists()


def test_inplace(convert, source):
    copied = source.with_name('copy.pth')
    copied.write_bytes(source.read_bytes())
    convert(source, '--inplace')
    assert_is_student(source, copied)
    assert sorted(os.listdir(source.parent)) == ['copy.pth', 'epoch_1.pth']
    # Now it is a plain network.
    assert 'needs no conversion' in convert(source, '--inplace', ok=False)


def test_bad_input_changes_nothing(convert, source, kd_config):
    folder = source.parent
    before = source.read_bytes()
    plain = folder / 'plain.py'
    kd_config.model = kd_config.model.architecture
    kd_config.dump(str(plain))
    truncated = folder / 'truncated.pth'
    truncated.write_bytes(before[: len(before) // 2])
    link = folder / 'link.pth'
    link.symlink_to(source)
    files = sorted(os.listdir(folder))
    for args, message in (
        ((source, '--out-path', source), 'say --inplace'),
        ((source, '--out-path', link), 'say --inplace'),
        ((source, '--out-path', folder / 'no'), "there is no '.*no'"),
        ((source, '--out-path', folder, '--inplace'), 'not allowed with'),
        ((source, '--config', plain), '"architecture" dict'),
        ((source, '--config', folder / 'no.py'), 'neither'),
        ((truncated, '--inplace'), 'truncated'),
        ((folder / 'no.pth',), 'does not exist'),
    ):
        error = convert(*args, ok=False)
        assert 'Traceback' not in error
        assert re.search(message, error), error
        assert sorted(os.listdir(folder)) == files
        assert source.read_bytes() == before


def test_code_in_a_checkpoint_does_not_run(convert, tmp_path):

    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'run'),)

    path = tmp_path / 'epoch_1.pth'
    torch.save(
        dict(
            meta=dict(cfg=Attack()),
            state_dict={'architecture.a': torch.ones(1)},
        ),
        str(path),
    )
    assert 'mkdir' in convert(path, ok=False)
    assert os.listdir(tmp_path) == ['epoch_1.pth']


def test_exits(convert, dskd_run):
    config, path = dskd_run
    out = convert(path, '--config', config, '--exits')
    folder = path.parent
    assert 'epoch_1_multi_exit.pth: ' in out
    assert 'multi_exit_config.py: the config' in out
    cfg = Config.fromfile(str(folder / 'multi_exit_config.py'))
    assert cfg.model.type == 'mmdskd.MultiExitClassifier'
    assert cfg.model.threshold == 0.9
    saved = torch.load(folder / 'epoch_1_multi_exit.pth', weights_only=True)
    assert saved['meta']['cfg'] == cfg.pretty_text
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    model.load_state_dict(saved['state_dict'], strict=True)
    assert not (folder / 'student_config.py').exists()


def test_exits_elsewhere_with_their_thresholds(convert, dskd_run):
    config, path = dskd_run
    folder = path.parent / 'out'
    folder.mkdir()
    convert(
        path,
        '--config',
        config,
        '--exits',
        '--threshold',
        0.5,
        0.75,
        '--loss',
        'loss_dskd',
        '--out-path',
        folder,
    )
    assert sorted(os.listdir(folder)) == [
        'epoch_1_multi_exit.pth',
        'multi_exit_config.py',
    ]
    cfg = Config.fromfile(str(folder / 'multi_exit_config.py'))
    assert cfg.model.threshold == [0.5, 0.75]


def test_exits_of_shapes_that_are_left_out(
    convert, dskd_run, dskd_config, dump
):
    _, path = dskd_run
    heads = dict(dskd_config.model.distiller.connectors.heads)
    dskd_config.model.distiller.connectors['heads'] = dict(
        type='mmdskd.DSKDConnector', in_channels='auto'
    )
    convert(path, '--config', dump(dskd_config), '--exits')
    cfg = Config.fromfile(str(path.with_name('multi_exit_config.py')))
    found = cfg.model.exits.connector
    assert {key: found[key] for key in heads} == heads


def test_wrong_exits_write_nothing(convert, dskd_run, kd_config):
    config, path = dskd_run
    plain = path.with_name('kd.py')
    del kd_config.model.distiller.distill_losses['loss_dskd']
    kd_config.dump(str(plain))
    # The student alone has no heads.
    student = path.with_name('alone.pth')
    state_dict = {
        name: value
        for name, value in torch.load(path)['state_dict'].items()
        if name.startswith('architecture.')
    }
    torch.save(dict(state_dict=state_dict), student)
    files = sorted(os.listdir(path.parent))
    for args, message in (
        ((path, '--exits'), '--exits should come with --config'),
        ((path, '--exits', '--config', config, '--inplace'), 'without --inp'),
        ((path, '--exits', '--config', plain), 'with a mmdskd.DSKDLoss in'),
        (
            (path, '--exits', '--config', config, '--loss', 'loss_no'),
            'DSKD losses of the config, loss_dskd, but got loss_no',
        ),
        (
            (path, '--exits', '--config', config, '--threshold', '2'),
            r'threshold should be a number in \[0, 1\], or 2 of them',
        ),
        ((student, '--exits', '--config', config), 'should hold 2 heads'),
        ((path, '--threshold', '0.5'), 'should come with --exits'),
    ):
        error = convert(*args, ok=False)
        assert 'Traceback' not in error
        assert re.search(message, error), error
        assert sorted(os.listdir(path.parent)) == files


def hooked_source(kd_config, tmp_path, name):
    """Checkpoint of a run whose student changes its state dict."""
    kd_config.model.architecture = dict(type=f'mmengine.{name}')
    kd_config.model.distiller.student_recorders.logits.source = 'fc'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        algorithm = MODELS.build(copy.deepcopy(kd_config.model))
    path, config = tmp_path / 'epoch_1.pth', tmp_path / 'kd.py'
    torch.save(dict(state_dict=algorithm.state_dict()), path)
    kd_config.dump(config)
    return algorithm, path, config


def test_class_that_renames_its_tensors(convert, kd_config, tmp_path):
    pytest.importorskip('sklearn')
    algorithm, path, config = hooked_source(
        kd_config, tmp_path, 'RenamingClassifier'
    )
    error = convert(path, ok=False)
    assert 'changes the names of its tensors' in error
    assert '--config CONFIG' in error
    out = convert(path, '--config', config)
    assert 'same weights, same logits on 4 images of the run' in out
    plain = MODELS.build(dict(type='mmengine.RenamingClassifier'))
    saved = torch.load(tmp_path / 'epoch_1_student.pth', weights_only=True)
    plain.load_state_dict(saved['state_dict'], strict=True)
    ours = find_tensors(plain)
    for name, tensor in find_tensors(algorithm.architecture).items():
        assert torch.equal(ours[name], tensor), name


def test_class_that_does_not_load_all(convert, kd_config, tmp_path):
    _, path, config = hooked_source(kd_config, tmp_path, 'SecretClassifier')
    student = tmp_path / 'epoch_1_student.pth'
    student.write_bytes(b'old')
    error = convert(path, '--config', config, '--force', ok=False)
    assert 'for 1 of its 9 tensors, such as fc.bias' in error
    assert 'epoch_1_student.pth was there before: it is another' in error
    assert student.read_bytes() == b'old'


def test_config_of_another_student(convert, kd_config, source, tmp_path):
    kd_config.model.architecture.backbone.depth = 14
    config = tmp_path / 'deeper.py'
    kd_config.dump(config)
    error = convert(source, '--config', config, ok=False)
    assert 'the network of its config has other tensors: missing' in error
    assert not (tmp_path / 'epoch_1_student.pth').exists()


def test_data_of_the_run_are_gone(convert, kd_config, source, tmp_path):
    for split in ('train', 'val', 'test'):
        kd_config[f'{split}_dataloader'].dataset = dict(
            type='mmpretrain.CIFAR10', data_root=str(tmp_path / 'no')
        )
    config = tmp_path / 'kd.py'
    kd_config.dump(config)
    out = convert(source, '--config', config)
    assert 'same weights; there are no images of the run (' in out
    assert not (tmp_path / 'no').exists()  # nothing is downloaded
