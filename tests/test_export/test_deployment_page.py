"""docs/deployment.md: its code, on a run of a few digits."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from test_export.students import save

from mmdskd.datasets import Digits
from mmdskd.export.deployment import export_run
from mmdskd.export.load_student import load_student

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs/deployment.md'
CODE = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)
CLASSES = list('abcdefghij')


@pytest.fixture
def run(kd_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'work_dirs/my_run'
    folder.mkdir(parents=True)
    kd_config.dump(folder / 'my_run.py')
    meta = dict(dataset_meta=dict(classes=CLASSES))
    return save(kd_config, folder / 'epoch_3.pth', meta)


def predict(run, image):
    """Logits and class that the student in PyTorch gives a digit."""
    cfg = Config.fromfile('work_dirs/my_run/my_run.py')
    network = load_student(cfg, run).network
    image = torch.from_numpy(cv2.resize(image, (16, 16)))
    data = network.data_preprocessor(dict(inputs=image[None, None]))
    with torch.no_grad():
        logits = network(data['inputs'])
    return logits, CLASSES[logits.argmax()]


def check(code, run, image, capsys):
    """Run code of the page, and compare what it finds."""
    values = {}
    exec(code, values)
    logits, name = predict(run, image)
    ours = torch.as_tensor(values['logits'])
    torch.testing.assert_close(ours, logits, rtol=1e-4, atol=1e-5)
    assert capsys.readouterr().out.strip() == name


def test_onnx_from_run_to_class(run, capsys):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    program, call, _ = CODE
    exec(call, {})
    assert capsys.readouterr().out.startswith('ONNX opset')
    for sample in Digits(split='test', indices=3):
        cv2.imwrite('digit.png', sample['img'])
        check(program, run, sample['img'], capsys)


@pytest.mark.filterwarnings('ignore:.*torch.jit.load')
def test_torchscript(run, capsys):
    export_run('work_dirs/my_run', 'student.pt')
    check(CODE[2], run, np.zeros((8, 8), np.uint8), capsys)


def test_options_are_those_of_the_tool(run_tool, capsys):
    with pytest.raises(SystemExit):
        run_tool('model_converters/export_student.py', '--help')
    text = capsys.readouterr().out
    rows = re.findall(r'^\| `(--.*?) \|', PAGE.read_text(), re.MULTILINE)
    options = {option for row in rows for option in re.findall(r'--\S+', row)}
    assert len(rows) == 8
    assert all(option.rstrip('`,') in text for option in options)
