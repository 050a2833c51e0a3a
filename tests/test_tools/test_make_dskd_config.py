"""The command; what it makes is tested with its modules."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from plain_configs import RUN, SMALL_RESNET, VIT, write

from mmdskd.pairing.dskd_config import PARTS
from mmdskd.utils.progress import Progress


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fail(run, *arguments):
    with pytest.raises(SystemExit) as error:
        run('misc/make_dskd_config.py', *arguments)
    assert error.value.code.startswith('make_dskd_config.py: ')
    return error.value.code


def test_writes_what_trains(run_tool, capsys):
    student, teacher = write('vit', VIT), write('resnet', SMALL_RESNET)
    run_tool('misc/make_dskd_config.py', student, teacher)
    printed = capsys.readouterr().out
    rows = [line.split(' | ') for line in printed.splitlines()[2:6]]
    assert [row[1] for row in rows] == [
        *['8x8x8 (64 + 1 tokens)'] * 3,
        'to 64x4x4',
    ]
    assert re.search(
        r'2 iterations on random images, .*: losses \d+\.\d+, \d+\.\d+, and',
        printed,
    )
    assert 'Note: the checkpoint of the teacher, work_dirs/resnet/' in printed
    output = 'dskd_resnet_vit.py'
    assert f'Wrote {output}. Train it by\n  python tools/train.py' in printed
    model = Config.fromfile(output).model
    assert model.distiller.connectors.heads.strides == [2, 2, 2]
    assert model.teacher_ckpt == 'work_dirs/resnet/epoch_7.pth'


def test_all_options(run_tool):
    Path('folder').mkdir()
    student, teacher = write('resnet', SMALL_RESNET), write('vit', VIT)
    run_tool(
        'misc/make_dskd_config.py',
        student,
        teacher,
        '--branches',
        'backbone.layer1, backbone.layer2.0',
        '--teacher-ckpt',
        'any.pth',
        '--dataset-from',
        'teacher',
        '--teacher-feature',
        'backbone.layers.3',
        '--shape',
        '3,32,32',
        '--student-logits',
        'head',
        '--teacher-logits',
        'head',
        '-o',
        'folder/mine.py',
    )
    cfg = Config.fromfile('folder/mine.py')
    distiller = cfg.model.distiller
    assert distiller.student_recorders.shallow.sources == [
        'backbone.layer1',
        'backbone.layer2.0',
    ]
    assert distiller.student_recorders.logits.source == 'head'
    assert distiller.teacher_recorders.logits.source == 'head'
    assert distiller.teacher_recorders.feat.source == 'backbone.layers.3'
    assert cfg.model.teacher_ckpt == 'any.pth'
    assert "_base_ = '../vit.py'" in Path('folder/mine.py').read_text()


def test_size_of_the_teacher(run_tool, capsys):
    student, teacher = write('a', SMALL_RESNET), write('b', SMALL_RESNET)
    tool = 'misc/make_dskd_config.py'
    run_tool(tool, student, teacher, '--teacher-input-size', '48,32')
    model = Config.fromfile('dskd_b_a.py').model
    assert model.teacher_input_size == (48, 32)
    printed = capsys.readouterr().out
    assert 'Note: the teacher gets images of 48x32, resized from' in printed
    for text in ('0', '-1', '1,2,3', 'half', '2.5'):
        with pytest.raises(SystemExit):
            run_tool(tool, student, teacher, f'--teacher-input-size={text}')
        assert (
            'should be a number of pixels > 0, height and width as H,W, or '
            f"data, but got '{text}'"
        ) in capsys.readouterr().err


def test_what_is_wrong_is_told(run_tool):
    student = write('resnet', SMALL_RESNET)
    assert 'did you mean backbone.layer2' in fail(
        run_tool, student, student, '--branches', 'backbone.leyer2'
    )
    message = fail(run_tool, student, student, '--branches', '40')
    assert 'The number of branches should be 1 to ' in message
    assert not list(Path().glob('dskd_*'))


@pytest.mark.parametrize(
    'output, message',
    [
        ('resnet.py', 'resnet.py is there already'),
        ('missing/a.py', '-o should be a file in a folder that is there'),
    ],
)
def test_output_is_checked_first(run_tool, output, message):
    """Before the networks are looked up."""
    path = Path(write('resnet', SMALL_RESNET))
    before = path.read_text()
    assert message in fail(run_tool, 'no', 'no', '-o', output)
    assert path.read_text() == before


def test_default_output_is_checked_before_networks_are_built(
    run_tool, monkeypatch
):
    student = write('resnet', SMALL_RESNET)
    Path('dskd_resnet_resnet.py').write_text('mine')
    monkeypatch.setattr('mmdskd.pairing.dskd_config.build_plain', None)
    assert 'dskd_resnet_resnet.py is there already' in fail(
        run_tool, student, student
    )
    assert Path('dskd_resnet_resnet.py').read_text() == 'mine'


def test_what_does_not_train_is_not_written(run_tool):
    """As those of LeViT and EfficientFormer, which MMPretrain does not
    train. The corrected command finds no file in its way."""
    high = dict(RUN['optim_wrapper'], optimizer=dict(type='SGD', lr=1e30))
    student = write('resnet', SMALL_RESNET)
    bad = Config.fromfile(student)
    bad.optim_wrapper = high
    bad.dump(student)
    message = fail(run_tool, student, student)
    assert (
        'dskd_resnet_resnet.py is not written, as the config does not train: '
        'The losses should be finite, but got'
    ) in message
    assert message.endswith(
        'Choose other --branches or another --teacher-feature, or change '
        'optim_wrapper and data in resnet.py'
    )
    assert [path.name for path in Path().iterdir()] == ['resnet.py']
    write('resnet', SMALL_RESNET)
    run_tool('misc/make_dskd_config.py', student, student)
    assert Path('dskd_resnet_resnet.py').is_file()


def test_hooks_that_need_the_data_set_are_left_out_of_the_trial(
    run_tool, capsys
):
    hooks = [dict(type='SetAdaptiveMarginsHook'), *RUN['custom_hooks']]
    student = write('resnet', SMALL_RESNET)
    cfg = Config.fromfile(student)
    cfg.custom_hooks = hooks
    cfg.dump(student)
    run_tool('misc/make_dskd_config.py', student, student)
    assert (
        "Note: the trial ended with AttributeError ('list' object has no "
        "attribute 'get_gt_labels'), so it was repeated without your hooks "
        '(SetAdaptiveMarginsHook, EMAHook): see whether they work on an '
        'algorithm, whose student is its "architecture"'
    ) in capsys.readouterr().out
    written = Config.fromfile('dskd_resnet_resnet.py')
    assert written.custom_hooks[:2] == hooks


def test_what_a_network_raises_is_told(run_tool):
    """In the trial; without hooks of the user, there is nothing to repeat."""
    student = write('resnet', SMALL_RESNET)
    cfg = Config.fromfile(student)
    cfg.optim_wrapper.paramwise_cfg = 3
    cfg.custom_hooks = None
    cfg.dump(student)
    message = fail(run_tool, student, student)
    assert (
        'is not written, as the config does not train: TypeError: '
        'paramwise_cfg should be None or a dict'
    ) in message


def test_progress_is_shown(run_tool, monkeypatch, capsys):
    """On the standard error, by the parts in order."""
    student = write('resnet', SMALL_RESNET)
    begun = []
    begin = Progress.begin

    def note(progress, part):
        begun.append(part)
        progress.patience = progress.pause = progress.shown_at = 0
        begin(progress, part)
        progress.show()

    monkeypatch.setattr(Progress, 'begin', note)
    run_tool('misc/make_dskd_config.py', student, student)
    output = capsys.readouterr()
    assert begun == [*PARTS, 'training on random images']
    for i, part in enumerate(begun):
        assert f'make_dskd_config.py: [{i + 1}/5] {part}, ' in output.err
    assert '[1/5]' not in output.out
    assert '[1/5]' not in Path('dskd_resnet_resnet.py').read_text()
