from types import SimpleNamespace

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.visualization import Visualizer
from mmrazor.engine.hooks import RazorVisualizationHook
from torch import nn

from mmdskd.compat.mmrazor_visualization import SavingVisualizer

IMAGE = np.zeros((4, 6, 3), dtype=np.uint8)
IMAGE[..., 0] = 255  # red


@pytest.fixture
def visualizer():
    """A visualizer that remembers what it is given."""
    calls = []
    return SimpleNamespace(
        calls=calls,
        name='house',
        show=lambda *args, **kwargs: calls.append(('show', kwargs)),
        add_image=lambda *args, **kwargs: calls.append((args[0], kwargs)),
    )


def test_picture_is_saved(visualizer, tmp_path):
    file = tmp_path / 'red.png'
    SavingVisualizer(visualizer).add_datasample(
        'red', IMAGE, draw_gt=False, draw_pred=False, out_file=str(file)
    )
    assert not visualizer.calls
    read = mmcv.imread(str(file), channel_order='rgb')
    assert np.array_equal(read, IMAGE)


def test_picture_is_logged_or_shown(visualizer):
    saving = SavingVisualizer(visualizer)
    assert saving.name == 'house'
    saving.add_datasample('red', IMAGE, step=3)
    saving.add_datasample('red', IMAGE, show=True, wait_time=0.1, step=4)
    assert visualizer.calls == [
        ('red', dict(step=3)),
        ('show', dict(win_name='red', wait_time=0.1)),
        ('red', dict(step=4)),
    ]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def test_step(self, data):
        return self.conv(data['inputs'][0][None].float())


@pytest.mark.filterwarnings('ignore:Since the spatial dim')
@pytest.mark.filterwarnings('ignore:Visualizer backend is not')
def test_hook_saves_feature_maps_by_any_visualizer(tmp_path):
    Visualizer.get_instance('visualization_of_razor')
    file = tmp_path / 'image.png'
    mmcv.imwrite(IMAGE, str(file))
    hook = RazorVisualizationHook(
        recorders=ConfigDict(
            out=dict(type='ModuleOutputs', _scope_='mmrazor', source='conv')
        ),
        mappings=ConfigDict(out=dict(recorder='out')),
        enabled=True,
        out_dir='maps',
        visualization_cfg=dict(
            channel_reduction='select_max', topk=1, arrangement=(1, 1)
        ),
    )
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmpretrain.PackInputs'),
    ]
    data_set = SimpleNamespace(
        get_data_info=lambda i: dict(img_path=str(file))
    )
    runner = SimpleNamespace(
        model=Network(),
        epoch=0,
        work_dir=str(tmp_path),
        timestamp='now',
        cfg=ConfigDict(test_dataloader=dict(dataset=dict(pipeline=pipeline))),
        val_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=data_set)),
    )
    hook.before_run(runner)
    with torch.no_grad():
        hook.before_train(runner)
    (saved,) = (tmp_path / 'now' / 'maps').iterdir()
    assert saved.name == 'before_run_data_idx_0_out_0.jpg'
