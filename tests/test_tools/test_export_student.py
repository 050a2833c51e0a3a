import re

import pytest
import torch
from mmengine.config import Config

from mmdskd.version import satisfies

TOOL = 'model_converters/export_student.py'
FEW = ('--images', 10)


@pytest.fixture
def export(run_tool, capsys):
    """Run the tool, and return what it prints."""

    def run(*args, ok=True):
        code = None
        try:
            run_tool(TOOL, *args)
        except SystemExit as error:
            code = error.code
        out, err = capsys.readouterr()
        assert (code is None) == ok, (code, err)
        return out if ok else f'{err}{code}'

    return run


@pytest.fixture
def run(dskd_run):
    """Folder of a run with its config and its checkpoint."""
    config, path = dskd_run
    folder = path.parent / 'my_run'
    folder.mkdir()
    Config.fromfile(config).dump(folder / 'dskd.py')
    path.rename(folder / 'epoch_1.pth')
    return folder


def test_folder_to_torchscript(export, run, tmp_path):
    pytest.importorskip('sklearn')
    out = export(run, '-o', tmp_path / 'student.pt', *FEW)
    lines = out.splitlines()
    assert lines[0] == (
        f'{tmp_path}/student.pt: {run}/epoch_1.pth, by {run}/dskd.py'
    )
    assert lines[1:4] == [
        'TorchScript, traced and frozen',
        'input:  images (batch, 1, 16, 16), float32, pixels of 0 to 255, '
        'colours: grey',
        'output: logits (batch, 10)',
    ]
    assert re.fullmatch(
        r'compared with the student on images of the run: largest difference '
        r'\S+ of outputs up to \S+ \(\S+\), same class for 10 of 10 images, '
        r'in batches of 1, 2, 7',
        lines[4],
    )


def test_options_reach_the_file(export, run, tmp_path):
    path = tmp_path / 'student.bin'
    out = export(
        *(run / 'dskd.py', run / 'epoch_1.pth', '-o', path, *FEW),
        *('--format', 'torchscript', '--batch', 3, '--normalize', 'outside'),
        *('--output', 'scores', '--exit', 'all', '--loss', 'loss_dskd'),
        *('--random', '1,16,16', '--no-check'),
    )
    assert out.splitlines()[2:] == [
        'input:  images (3, 1, 16, 16), float32, as the data preprocessor '
        'gives them, colours: grey',
        'output: exit_0 (3, 10)',
        'output: exit_1 (3, 10)',
        'output: scores (3, 10)',
        'NOT COMPARED with the student: --no-check was given',
    ]
    assert 'on random images' in export(
        *(run, '-o', path, '--format', 'torchscript', '--force'),
        *('--random', '1,16,16'),
    )


def test_exits_of_a_multi_exit_student(export, run, tmp_path, run_tool):
    pytest.importorskip('sklearn')
    run_tool(
        'model_converters/convert_kd_ckpt_to_student.py',
        *(run / 'epoch_1.pth', '--config', run / 'dskd.py', '--exits'),
    )
    path = tmp_path / 'a.pt'
    out = export(run, run / 'epoch_1_multi_exit.pth', '-o', path, *FEW)
    assert 'multi_exit_config.py' in out
    assert re.findall(r'output: (\S+)', out) == ['exit_0', 'exit_1', 'logits']
    export(run, 'epoch_1_multi_exit.pth', '-o', path, '--exit', 1, '--force')


def test_shapes_that_are_left_out(export, run, tmp_path):
    pytest.importorskip('sklearn')
    cfg = Config.fromfile(run / 'dskd.py')
    cfg.model.distiller.connectors['heads'] = dict(
        type='mmdskd.DSKDConnector', in_channels='auto'
    )
    cfg.dump(run / 'dskd.py')
    export(run, '-o', tmp_path / 'a.pt', '--exit', 0, *FEW)


@pytest.mark.parametrize(
    'args, message',
    [
        (('-o', 'a.txt'), 'ValueError: The exported file should end with'),
        (('-o', 'no/a.pt'), 'Make it first'),
        (('-o', 'a.pt', '--opset', 17), 'should be given for ONNX only'),
        (('-o', 'a.pt', '--exit', 2), 'from 0 to 1, the index of an exit, bu'),
        (('-o', 'a.pt', '--exit', 'x'), '"all" or the index of an exit, but'),
        (('-o', 'a.pt', '--batch', 0), '"dynamic" or a whole number >= 1, bu'),
        (('-o', 'a.pt', '--tolerance', 2), r'output in \[0, 1\], but got'),
        (('-o', 'a.pt', '--tolerance', 'x'), r'output in \[0, 1\], but got'),
        (('-o', 'a.pt', '--tolerance', 0), 'No file was written'),
        (('-o', 'a.pt', '--colors', 'rgb'), 'is grey, but got'),
        (('-o', 'a.pt', '--random', '3,16,16'), 'The student fails on images'),
        (('-o', 'a.pt', '--loss', 'x', '--exit', 0), 'one of the DSKD losses'),
        ((), 'arguments are required: -o'),
        (('epoch_2.pth', '-o', 'a.pt'), 'epoch_2.pth" does not exist'),
    ],
)
def test_bad_input(export, run, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    error = export(run, *args, ok=False)
    assert re.search(message, error), error
    assert 'Traceback' not in error
    assert len(error.strip().splitlines()[-1]) < 500
    assert not (tmp_path / 'a.pt').exists()


def test_more_bad_input(export, run, tmp_path):
    path = tmp_path / 'a.pt'
    teacher = tmp_path / 'teacher.pth'
    torch.save(dict(state_dict={'backbone.a': torch.ones(1)}), teacher)
    code = tmp_path / 'code.pth'
    torch.save(dict(state_dict=Config(dict(a=1))), code)
    for args, message in (
        ((tmp_path / 'no',), 'there is no'),
        ((run / 'dskd.py',), 'followed by CHECKPOINT'),
        ((run, teacher), 'teacher.pth should hold the weights of ImageClas'),
        ((run / 'epoch_1.pth', run / 'dskd.py'), 'changed places'),
        ((run, code), 'it would run code or holds an unknown class'),
    ):
        error = export(*args, '-o', path, ok=False)
        assert re.search(message, error), error
        assert not path.exists()


def test_a_missing_package_is_told_before_anything(
    export, tmp_path, monkeypatch
):
    monkeypatch.setattr('mmdskd.export.onnx_file.find_spec', lambda name: None)
    error = export('/no/run', '-o', tmp_path / 'a.onnx', ok=False)
    assert error.startswith(
        'ImportError: The export to ONNX needs onnx and onnxruntime, but they '
        'are not installed: pip install onnx onnxruntime'
    )


def test_folder_to_onnx(export, run, tmp_path):
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    path = tmp_path / 'student.onnx'
    out = export(run, '-o', path, *FEW)
    assert 'same class for 10 of 10 images, in batches of 1, 2, 7' in out
    assert not out.startswith('note')
    model = onnx.load(path)
    (images,) = model.graph.input
    first, *others = images.type.tensor_type.shape.dim
    assert first.dim_param == 'batch'
    assert [dim.dim_value for dim in others] == [1, 16, 16]
    texts = {entry.key: entry.value for entry in model.metadata_props}
    assert texts['normalize'] == 'inside'
    assert texts['checkpoint'] == 'epoch_1.pth'


@pytest.mark.slow
@pytest.mark.parametrize('exit', ['all', '0', '1'])
def test_exits_in_onnx(export, run, tmp_path, exit):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    path = tmp_path / 'student.onnx'
    opset = 18 if satisfies(torch.__version__, '>=2') else 16
    out = export(run, '-o', path, '--exit', exit, '--opset', opset)
    assert out.count('output: ') == (3 if exit == 'all' else 1)
    assert f'ONNX opset {opset}' in out
