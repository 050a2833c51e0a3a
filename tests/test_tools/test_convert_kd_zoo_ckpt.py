"""The command that converts a checkpoint of the KD zoo."""

import os
import re
import shlex
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdskd.kd_zoo.networks import get_network

ROOT = Path(__file__).parents[2]


@pytest.fixture
def convert(run_tool, capsys):
    """Run the tool, and return what it prints."""

    def run(*args, ok=True):
        code = None
        try:
            run_tool('model_converters/convert_kd_zoo_ckpt.py', *args)
        except SystemExit as error:
            code = error.code
        out, err = capsys.readouterr()
        assert (code is None) == ok, (code, err)
        return out if ok else f'{err}{code}'

    return run


def save(path, arch, num_classes=100, prefix=''):
    """Save a network as RepDistiller does."""
    network = get_network(arch, num_classes)
    state_dict = {
        prefix + network.zoo_names[key]: torch.rand(shape)
        for key, shape in network.shapes.items()
    }
    torch.save(
        dict(epoch=240, model=state_dict, best_acc=torch.tensor([70.69])),
        str(path),
    )
    return state_dict


def test_writes_and_tells(convert, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    src, dst = tmp_path / 'ckpt_epoch_240.pth', tmp_path / 'it is.pth'
    weights = save(src, 'resnet20', prefix='module.student.')
    before = src.read_bytes()
    out = convert(src, dst)
    assert src.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ['ckpt_epoch_240.pth', 'it is.pth']
    config = 'configs/vanilla/cifar100/resnet20_1xb64_cifar100.py'
    assert out.splitlines() == [
        f'{dst}: resnet20, 100 classes, 278,324 parameters',
        'from: file ckpt_epoch_240.pth, arch resnet20, epoch 240, '
        'best_acc 70.69',
        f'config: {config}',
        f'test: python tools/test.py {config} {shlex.quote(str(dst))}',
        f'teacher: teacher_ckpt={str(dst)!r} in a config of kd or dskd',
    ]
    written = torch.load(str(dst), weights_only=True)
    assert set(written) == {'meta', 'state_dict'}
    model = MODELS.build(Config.fromfile(config).model)
    model.load_state_dict(written['state_dict'], strict=True)
    assert torch.equal(
        model.head.fc.weight, weights['module.student.fc.weight']
    )


def test_tells_what_it_leaves_behind(convert, tmp_path):
    src = tmp_path / 'field.pth'
    weights = save(src, 'resnet8', prefix='module.student.')
    weights['module.teacher.fc.weight'] = torch.ones(1)
    torch.save(dict(model=weights), str(src))
    assert 'ignored: teacher (1 tensors)\n' in convert(
        src, tmp_path / 'ours.pth'
    )


def test_shows_the_model_that_no_config_has(convert, tmp_path):
    src, dst = tmp_path / 'field.pth', tmp_path / 'ours.pth'
    save(src, 'wrn_10_2', num_classes=10, prefix='module.')
    out = convert(src, dst, '--arch', 'wrn_10_2')
    assert 'wrn10-2, 10 classes' in out
    assert re.search(r'test: python \S*tools/test.py CONFIG \S*ours.pth', out)
    text = out[out.index('\nmodel') : out.index('test: ')]
    model = MODELS.build(Config.fromstring(text, '.py').model)
    state_dict = torch.load(str(dst), weights_only=True)['state_dict']
    model.load_state_dict(state_dict, strict=True)


@pytest.mark.parametrize('method', ['kd', 'dskd'])
def test_is_a_teacher(convert, tmp_path, method):
    src, dst = tmp_path / 'field.pth', tmp_path / 'ours.pth'
    weights = save(src, 'resnet56')
    convert(src, dst)
    cfg = Config.fromfile(
        ROOT
        / f'configs/{method}/cifar100'
        / f'{method}_resnet56_resnet20_1xb64_cifar100.py'
    )
    cfg.model.teacher_ckpt = str(dst)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        algorithm = MODELS.build(cfg.model)
    network = get_network('resnet56', 100)
    # Of what MMEngine doesn't find in a file, it only warns.
    for key, value in algorithm.teacher.state_dict().items():
        zoo_value = weights[network.zoo_names[key]]
        assert torch.equal(value, zoo_value.to(value.dtype))
    state_dict = torch.load(str(dst), weights_only=True)['state_dict']
    algorithm.teacher.load_state_dict(state_dict, strict=True)


def test_bad_input_writes_nothing(convert, tmp_path):
    src = tmp_path / 'field.pth'
    save(src, 'resnet8')
    before = src.read_bytes()
    truncated = tmp_path / 'truncated.pth'
    truncated.write_bytes(before[: len(before) // 2])
    (tmp_path / 'link.pth').symlink_to(src)
    (tmp_path / 'folder').mkdir()
    files = sorted(os.listdir(tmp_path))
    new = tmp_path / 'new.pth'
    for args, message in (
        ((tmp_path / 'no.pth', new), 'no.pth" does not exist'),
        ((truncated, new), 'truncated.pth" cannot be read'),
        ((src, src), 'DST should not be SRC itself'),
        ((src, tmp_path / 'link.pth'), 'DST should not be SRC itself'),
        ((src, tmp_path / 'folder'), 'DST should be a file'),
        ((src, src / 'new.pth'), 'DST should be .* but .*field.pth is a file'),
        ((src, new, '--arch', 'vgg8'), 'resnet8 with 100 classes fits'),
        ((src, new, '--arch', 'alexnet'), 'arch should be one of'),
    ):
        error = convert(*args, ok=False)
        assert 'Traceback' not in error
        assert re.search(message, error), error
        assert sorted(os.listdir(tmp_path)) == files
        assert src.read_bytes() == before


def test_folder_is_made(convert, tmp_path):
    """The place of a training that has never been run."""
    src = tmp_path / 'field.pth'
    save(src, 'resnet8')
    dst = tmp_path / 'work_dirs' / 'resnet8' / 'epoch_240.pth'
    convert(src, dst)
    assert dst.is_file()


def test_code_in_a_file_does_not_run(convert, tmp_path):

    class Attack:
        def __reduce__(self):
            return os.system, (f'touch {tmp_path}/run',)

    src = tmp_path / 'field.pth'
    torch.save(dict(model=Attack()), str(src))
    assert 'system' in convert(src, tmp_path / 'new.pth', ok=False)
    assert os.listdir(tmp_path) == ['field.pth']
