import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain import ImageClassificationInferencer

from mmdskd.analysis.exits import Costs, Outputs, count_costs, leave
from mmdskd.analysis.flops import count_flops, count_flops_until

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/exit_curve.py'


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location('exit_curve', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def toy(tool):
    """Four images, two exits and the student."""
    outputs = Outputs(
        np.array(
            [[0.9, 0.8, 0.3, 0.2], [0.1, 0.9, 0.6, 0.5], [0.4, 0.4, 0.4, 0.4]]
        ),
        np.array(
            [
                [True, False, False, False],
                [True, True, True, False],
                [True, True, False, True],
            ]
        ),
    )
    costs = Costs(np.array([10, 20, 40]), np.array([1, 2, 0]))
    return outputs, costs


@pytest.mark.parametrize(
    'threshold, accuracy, flops, shares',
    [
        # Exits cost 11, 20 + 1 + 2 = 23 and 40 + 1 + 2 = 43.
        (0, 25, 11, [1, 0, 0]),
        (0.55, 75, (11 + 11 + 23 + 43) / 4, [0.5, 0.25, 0.25]),
        (0.8, 75, (11 + 23 + 43 + 43) / 4, [0.25, 0.25, 0.5]),  # 0.8 stays
        (0.95, 75, 43, [0, 0, 1]),
        (1, 75, 40, [0, 0, 1]),
    ],
)
def test_where_images_leave(tool, toy, threshold, accuracy, flops, shares):
    found = leave(*toy, threshold)
    assert found[0] == accuracy
    assert found[1] == flops
    assert found[2].tolist() == shares


def test_exits_count_in_the_order_of_the_forward(tool, toy):
    outputs, costs = toy
    order = [1, 0, 2]
    other = (
        Outputs(*(values[order] for values in outputs)),
        Costs(*(values[order] for values in costs)),
    )
    for threshold in (0, 0.55, 0.8, 0.95, 1):
        *expected, shares = leave(*toy, threshold)
        *found, theirs = leave(*other, threshold)
        assert found == expected
        assert theirs.tolist() == shares[order].tolist()


def test_flops(tool, dskd_run):
    config, path = dskd_run
    args = tool.argparse.Namespace(
        config=config, checkpoints=[str(path)], cfg_options=None, loss=None
    )
    _, [model] = tool.load_models(args)
    image = torch.zeros(1, 1, 16, 16)
    costs = count_costs(model, image)
    # Batch norm costs 2 per value in eval mode.
    stem = 16 * 16 * 4 * (9 + 2)
    layer1 = 16 * 16 * 2 * 4 * (4 * 9 + 2)
    downsample = 8 * 8 * 8 * (4 + 2)
    layer2 = 8 * 8 * 8 * (4 * 9 + 2 + 8 * 9 + 2) + downsample
    assert costs.until[:2].tolist() == [stem + layer1, stem + layer1 + layer2]
    assert costs.until[2] == count_flops(model, image)
    # From 4 x 16 x 16 and 8 x 8 x 8 to 32 x 4 x 4 by a width of 16
    first = (
        4 * 64 * (9 + 2)
        + 16 * 64 * (4 + 2)
        + 16 * 16 * (9 + 2)
        + 16 * 16 * (16 + 2)
    )
    second = 8 * 16 * (9 + 2) + 16 * 16 * (8 + 2)
    top = 32 * 16 * (16 + 2) + 32 * 10
    assert costs.heads.tolist() == [first + top, second + top, 0]
    assert costs.alone.tolist() == (costs.until + costs.heads).tolist()


@pytest.mark.parametrize(
    'name, source',
    [('mmdskd.CIFARResNet', 'relu'), ('SwinTransformer', 'stages.3')],
)
def test_flops_until_the_end_are_all(name, source):
    cfg = dict(type=name)
    if name == 'SwinTransformer':
        cfg.update(
            arch=dict(
                embed_dims=8, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 2]
            ),
            img_size=64,
            window_size=2,
        )
    else:
        cfg.update(depth=8)
        source = 'layer3'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = MODELS.build(cfg)
    backbone.eval()
    image = torch.zeros(1, 3, 64, 64)
    until = count_flops_until(backbone, source, image)
    # Swin normalises once more.
    rest = (
        count_flops(backbone.norm3, torch.zeros(1, 4, 64))
        if hasattr(backbone, 'norm3')
        else 0
    )
    assert until + rest == count_flops(backbone, image)


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
            from mmdskd.models import MultiExitClassifier

            predict = MultiExitClassifier.predict

            def spy(*args, **kwargs):
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
