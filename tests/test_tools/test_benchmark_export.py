import re

import pytest

TOOL = 'benchmarks/benchmark_export.py'


def test_table(run_tool, kd_config, dump, capsys, monkeypatch):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    threads = []
    monkeypatch.setattr('torch.set_num_threads', threads.append)
    run_tool(
        TOOL,
        *(dump(kd_config), '--image', '1,16,16', '--turns', 2, '--calls', 1),
        *('--batch-size', 3, '--threads', 1),
    )
    out = capsys.readouterr().out
    assert threads == [1]
    assert out.startswith('2 turns of 1 batches of 3, images of (1, 16, 16),')
    rows = re.findall(r'^\| (PyTorch|ONNX Runtime|TorchScript) \|', out, re.M)
    assert rows == ['PyTorch', 'ONNX Runtime', 'TorchScript']
    assert re.search(
        r'largest logit: ONNX Runtime \(ONNX opset \d+, \w+ exporter\): '
        r'\S+; TorchScript \(TorchScript, traced and frozen\): \S+',
        out,
    )


@pytest.mark.parametrize(
    'args, message',
    [
        (('--turns', 1), 'a whole number >= 2'),
        (('--image', '16'), 'channels, height and width'),
    ],
)
def test_bad_arguments(run_tool, capsys, args, message):
    with pytest.raises(SystemExit):
        run_tool(TOOL, 'a.py', *args)
    assert message in capsys.readouterr().err


def test_a_missing_package(run_tool, monkeypatch):
    monkeypatch.setattr('torch.set_num_threads', lambda number: None)
    monkeypatch.setattr('mmdskd.export.onnx_file.find_spec', lambda name: None)
    with pytest.raises(SystemExit, match='needs onnx and onnxruntime, but'):
        run_tool(TOOL, '/no/config.py')


def test_a_missing_config(run_tool, monkeypatch):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    monkeypatch.setattr('torch.set_num_threads', lambda number: None)
    with pytest.raises(SystemExit, match='/no/config.py'):
        run_tool(TOOL, '/no/config.py')
