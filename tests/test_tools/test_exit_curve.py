"""The command that shows accuracy against FLOPs of the exits."""

import json
import re

import numpy as np
import pytest
import torch
from mmpretrain import ImageClassificationInferencer

from mmdskd.models import MultiExitClassifier


@pytest.fixture
def numbers(run_tool, dskd_run, tmp_path, capsys):
    """Run the tool on two seeds; return its numbers and what it prints."""
    config, path = dskd_run
    checkpoint = torch.load(path)
    for name, value in checkpoint['state_dict'].items():
        if 'classifier.weight' in name:
            value.copy_(value.flip(0))
    other = tmp_path / 'other.pth'
    torch.save(checkpoint, other)
    run_tool(
        'analysis_tools/exit_curve.py',
        config,
        path,
        other,
        '--thresholds',
        1,
        0.3,
        0.45,
        '-o',
        tmp_path / 'exits.png',
        '--json',
        tmp_path / 'exits.json',
    )
    out = capsys.readouterr().out
    return json.loads((tmp_path / 'exits.json').read_text()), out


def test_it_is_what_the_classifier_does(
    numbers, run_tool, dskd_run, tmp_path, monkeypatch
):
    """The real one, through the converter and tools/test.py."""
    found, _ = numbers
    config, path = dskd_run
    run_tool(
        'model_converters/convert_kd_ckpt_to_student.py',
        path,
        '--config',
        config,
        '--exits',
    )
    cfg = tmp_path / 'multi_exit_config.py'
    checkpoint = tmp_path / 'epoch_1_multi_exit.pth'
    assert [row['threshold'] for row in found['thresholds']] == [0.3, 0.45, 1]
    accuracies = set()
    for row in found['thresholds']:
        exits = []
        with monkeypatch.context() as patch:
            predict = MultiExitClassifier.predict

            def spy(*args, exits=exits, predict=predict, **kwargs):
                samples = predict(*args, **kwargs)
                exits.extend(sample.exit_index for sample in samples)
                return samples

            patch.setattr(MultiExitClassifier, 'predict', spy)
            name = f'threshold{row["threshold"]}'
            run_tool(
                'test.py',
                cfg,
                checkpoint,
                '--work-dir',
                tmp_path / name,
                '--cfg-options',
                f'model.threshold={row["threshold"]}',
                f'experiment_name={tmp_path.name}_{name}',
            )
        [log] = (tmp_path / name).glob('*/*.json')
        accuracy = json.loads(log.read_text())['accuracy/top1']
        assert row['accuracy'][0] == pytest.approx(accuracy, abs=1e-4)
        shares = np.bincount(exits, minlength=3) / 50
        assert row['shares'][0] == pytest.approx(shares)
        accuracies.add(accuracy)
    assert len(accuracies) > 1
    assert 0 < found['thresholds'][1]['shares'][0][0] < 1
    assert 0 < found['thresholds'][1]['shares'][0][1] < 1


def test_what_is_printed(numbers, tmp_path):
    found, out = numbers
    assert (tmp_path / 'exits.png').stat().st_size > 10000
    exits = found['exits']
    assert [e['name'] for e in exits] == [
        'backbone.layer1',
        'backbone.layer2',
        'the student',
    ]
    rows = re.findall(r'\| (.+) \|\n', out)
    cells = [row.split(' | ') for row in rows]
    for exit_, (name, top1, flops, share) in zip(exits, cells[1:4]):
        assert (
            exit_['flops']
            == exit_['flops_until_source'] + exit_['flops_of_head']
        )
        mean, std = (
            np.mean(exit_['accuracy']),
            np.std(exit_['accuracy'], ddof=1),
        )
        assert (name, top1, flops) == (
            exit_['name'],
            f'{mean:.2f} +- {std:.2f}',
            f'{exit_["flops"]:,}',
        )
        assert share == f'{exit_["flops"] / exits[-1]["flops"]:.0%}'
    plain = cells[-1]
    assert plain[0] == '1' and plain[3:] == ['100%', '0%', '0%', '100%']
    assert plain[1] == cells[3][1]
    assert plain[2] == f'{exits[-1]["flops"]:,}'


def test_multi_exit_student_gives_the_same(
    numbers, run_tool, dskd_run, tmp_path
):
    found, _ = numbers
    config, path = dskd_run
    run_tool(
        'model_converters/convert_kd_ckpt_to_student.py',
        path,
        '--config',
        config,
        '--exits',
    )
    run_tool(
        'analysis_tools/exit_curve.py',
        tmp_path / 'multi_exit_config.py',
        tmp_path / 'epoch_1_multi_exit.pth',
        '--thresholds',
        0.3,
        0.45,
        1,
        '-o',
        tmp_path / 'one.png',
        '--json',
        tmp_path / 'one.json',
    )
    one = json.loads((tmp_path / 'one.json').read_text())
    for ours, theirs in zip(one['thresholds'], found['thresholds']):
        for name in ('accuracy', 'flops', 'shares'):
            assert ours[name] == theirs[name][:1]


def test_inferencer_of_mmpretrain(run_tool, dskd_run, tmp_path):
    config, path = dskd_run
    run_tool(
        'model_converters/convert_kd_ckpt_to_student.py',
        path,
        '--config',
        config,
        '--exits',
        '--threshold',
        0,
    )
    inferencer = ImageClassificationInferencer(
        str(tmp_path / 'multi_exit_config.py'),
        pretrained=str(tmp_path / 'epoch_1_multi_exit.pth'),
    )
    image = np.random.RandomState(0).randint(0, 256, (20, 20), np.uint8)
    [sample] = inferencer(image, return_datasamples=True)
    assert sample.exit_index == 0
    [result] = inferencer(image)
    assert result['pred_label'] == sample.pred_label.item()


@pytest.mark.parametrize('thresholds', [['-0.1'], ['0.5', '1.5']])
def test_wrong_thresholds(run_tool, dskd_run, thresholds, capsys):
    with pytest.raises(SystemExit):
        run_tool(
            'analysis_tools/exit_curve.py',
            *dskd_run,
            f'--thresholds={thresholds[0]}'
            if len(thresholds) == 1
            else '--thresholds',
            *thresholds[1:],
        )
    assert '--thresholds should be in [0, 1]' in capsys.readouterr().err


def test_wrong_input(run_tool, dskd_run, kd_config, dump, tmp_path):
    config, path = dskd_run
    other = tmp_path / 'other.pth'
    checkpoint = torch.load(path)
    del checkpoint['state_dict']['architecture.head.fc.bias']
    torch.save(checkpoint, other)
    del kd_config.model.distiller.distill_losses['loss_dskd']
    for args, message in (
        ((config, tmp_path / 'no.pth'), 'there is no file'),
        (('no.py', path), "'no.py' is neither"),
        ((dump(kd_config), path), 'with a mmdskd.DSKDLoss in'),
        ((config, other), '(?s)should be a checkpoint of .*head.fc.bias'),
    ):
        with pytest.raises(SystemExit, match=message):
            run_tool('analysis_tools/exit_curve.py', *args)
