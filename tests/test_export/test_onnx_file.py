import logging
import warnings

import pytest
import torch
from torch import nn

from mmdskd.export import onnx_file
from mmdskd.export.exporters import ExportError, first_line, quiet
from mmdskd.export.onnx_file import (
    add_onnx_metadata,
    check_packages,
    find_exporters,
    open_onnx,
    write_onnx,
)


def of_torch_1(model, args, f, opset_version=None, dynamic_axes=None):
    """The parameters of torch.onnx.export in torch 1.13"""


def of_torch_2_5(model, args, f, *, dynamic_axes=None, dynamo=False):
    """torch 2.5: the newer exporter takes no shapes."""


def of_torch_2_8(model, args, f, *, dynamic_shapes=None, dynamo=False):
    """torch 2.8: the older exporter is the default."""


def of_torch_2_9(model, args, f, *, dynamic_shapes=None, dynamo=True):
    """torch 2.9: the newer exporter is the default."""


@pytest.mark.parametrize(
    'export, has_script, expected',
    [
        (of_torch_1, True, ['tracing']),
        (of_torch_1, False, ['tracing']),
        (of_torch_2_5, True, ['tracing']),
        (of_torch_2_8, True, ['tracing', 'dynamo']),
        (of_torch_2_8, False, ['tracing']),
        (of_torch_2_9, True, ['dynamo', 'tracing']),
        (of_torch_2_9, False, ['tracing']),
    ],
)
def test_exporters_of_each_torch(export, has_script, expected):
    assert find_exporters(export, has_script) == expected


@pytest.fixture
def calls(monkeypatch):
    """What the exporter of another torch gets."""
    found = []

    def use(export):
        def record(model, args, f, **options):
            found.append(options)

        record.__signature__ = onnx_file.inspect.signature(export)
        monkeypatch.setattr('torch.onnx.export', record)
        monkeypatch.setattr(onnx_file, '_read_opset', lambda path: 14)
        return found

    return use


def of_torch_1_names(
    model, args, f, input_names=None, output_names=None,
    opset_version=None, dynamic_axes=None,
):  # fmt: skip
    """The names, too"""


def test_torch_1_gets_no_argument_that_it_lacks(calls):
    found = calls(of_torch_1_names)
    how = write_onnx(nn.Identity(), torch.ones(2, 1), '', ['logits'])
    assert how == 'ONNX opset 14, tracing exporter'
    assert found == [
        dict(
            input_names=['images'],
            output_names=['logits'],
            dynamic_axes=dict(images={0: 'batch'}, logits={0: 'batch'}),
        )
    ]


def test_a_fixed_batch_has_no_axes(calls):
    found = calls(of_torch_1_names)
    write_onnx(nn.Identity(), torch.ones(3, 1), '', ['logits'], 3, 14)
    assert found[0]['opset_version'] == 14
    assert 'dynamic_axes' not in found[0]


def test_another_opset_than_asked_for_is_refused(calls):
    calls(of_torch_1_names)
    with pytest.raises(ExportError, match='wrote opset 14, where 9 was asked'):
        write_onnx(nn.Identity(), torch.ones(3, 1), '', ['logits'], 3, 9)


@pytest.fixture
def installed(monkeypatch):
    def only(*names):
        monkeypatch.setattr(
            onnx_file, 'find_spec', lambda name: name in names or None
        )
        monkeypatch.setattr(onnx_file, '_prefers_dynamo', lambda: True)

    return only


def test_missing_packages(installed):
    installed()
    with pytest.raises(ImportError) as info:
        check_packages()
    assert str(info.value) == (
        'The export to ONNX needs onnx and onnxruntime, but they are not '
        'installed: pip install onnx onnxruntime onnxscript'
    )
    installed('onnx', 'onnxscript')
    with pytest.raises(ImportError) as info:
        check_packages()
    assert str(info.value) == (
        'The export to ONNX needs onnxruntime, but it is not installed: pip '
        'install onnxruntime, or --no-check to write the file without running '
        'it'
    )
    check_packages(check=False)


def test_warnings_of_networks_are_passed_on(capsys):
    level = logging.getLogger('torch.onnx').level
    with pytest.warns(UserWarning) as caught, quiet():
        print('progress')
        warnings.warn('old', FutureWarning, stacklevel=1)
        warnings.warn('mine', UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ['mine']
    assert capsys.readouterr().out == ''
    assert logging.getLogger('torch.onnx').level == level


def test_an_error_in_one_line():
    assert first_line(ValueError('\n  a\nb')) == 'ValueError: a'
    advice = "Failed\n\n<class 'KeyError'>: 'x'\n(advice)"
    assert first_line(ValueError(advice)) == (
        "ValueError: <class 'KeyError'>: 'x'"
    )


class Doubles(nn.Module):
    def forward(self, images):
        return 2 * images


@pytest.mark.parametrize('exporter', ['tracing', 'dynamo'])
def test_file_of_each_exporter(tmp_path, exporter):
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    if exporter not in find_exporters():
        pytest.skip('this torch does not have it')
    path = str(tmp_path / 'a.onnx')
    images = torch.ones(2, 1, 3, 3)
    how = write_onnx(
        Doubles().eval(), images, path, ['logits'], exporter=exporter
    )
    add_onnx_metadata(path, dict(mmdskd_version='1', colors='grey'))
    model = onnx.load(path)
    opset = model.opset_import[0].version
    assert how == f'ONNX opset {opset}, {exporter} exporter'
    assert {p.key: p.value for p in model.metadata_props} == dict(
        mmdskd_version='1', colors='grey'
    )
    assert (model.producer_name, model.producer_version) == ('mmdskd', '1')
    # No path of this machine
    assert str(__file__).encode() not in model.SerializeToString()
    run = open_onnx(path)
    for number in (1, 2, 7):
        (output,) = run(torch.ones(number, 1, 3, 3))
        assert torch.equal(output, torch.full((number, 1, 3, 3), 2.0))


class Refuses(nn.Module):
    def forward(self, images):
        raise ValueError('not for\nexport')


@pytest.mark.parametrize('exporter', find_exporters())
def test_what_cannot_be_exported(tmp_path, exporter):
    with pytest.raises(ExportError) as info:
        write_onnx(
            Refuses().eval(),
            torch.ones(1, 1),
            str(tmp_path / 'a'),
            ['logits'],
            1,
            exporter=exporter,
        )
    message = str(info.value)
    assert message.startswith(f'the {exporter} exporter of torch ')
    assert 'not for' in message
    assert '\n' not in message
