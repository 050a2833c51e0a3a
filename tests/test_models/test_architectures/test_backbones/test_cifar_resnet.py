from unittest import TestCase

import torch
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import nn

from mmdskd.models import CIFARResNet


class TestCIFARResNet(TestCase):
    def test_state_dict_names_are_the_fields(self):
        names = list(CIFARResNet(8).state_dict())
        self.assertEqual(names[0], 'conv1.weight')
        self.assertEqual(names[1], 'bn1.weight')
        for name in (
            'layer1.0.conv1.weight',
            'layer1.0.bn2.running_mean',
            'layer2.0.downsample.0.weight',
            'layer2.0.downsample.1.bias',
            'layer3.0.bn1.weight',
        ):
            self.assertIn(name, names)
        # The shape stays the same in the first stage: a plain shortcut.
        self.assertFalse([n for n in names if 'layer1.0.downsample' in n])

    def test_stem_keeps_its_names_under_any_norm(self):
        backbone = CIFARResNet(8, norm_cfg=dict(type='GN', num_groups=4))
        self.assertEqual(
            [name for name, _ in backbone.named_children()],
            ['conv1', 'bn1', 'relu', 'layer1', 'layer2', 'layer3'],
        )
        self.assertIsInstance(backbone.bn1, nn.GroupNorm)
        self.assertFalse(
            [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
        )

    def test_other_strides(self):
        feats = CIFARResNet(
            8, strides=(2, 2, 1), stage_channels=(4, 8, 12), out_indices=(0, 2)
        )(torch.rand(2, 3, 15, 9))
        self.assertEqual(
            [tuple(feat.shape) for feat in feats],
            [(2, 4, 8, 5), (2, 12, 4, 3)],
        )

    def test_forward_against_plain_torch(self):
        torch.manual_seed(0)
        backbone = CIFARResNet(8, in_channels=1, out_indices=(0, 1, 2))
        backbone.eval()
        x = torch.rand(2, 1, 8, 8)
        weights = backbone.state_dict()

        def conv(x, name, stride=1):
            weight = weights[f'{name}.weight']
            return nn.functional.conv2d(
                x, weight, stride=stride, padding=weight.shape[-1] // 2
            )

        def norm(x, name):
            keys = ('running_mean', 'running_var', 'weight', 'bias')
            args = [weights[f'{name}.{key}'] for key in keys]
            return nn.functional.batch_norm(x, *args)

        out = norm(conv(x, 'conv1'), 'bn1').relu()
        for i, feat in enumerate(backbone(x)):
            block, stride = f'layer{i + 1}.0', min(i + 1, 2)
            shortcut = out
            if i > 0:
                shortcut = norm(
                    conv(out, f'{block}.downsample.0', stride),
                    f'{block}.downsample.1',
                )
            out = norm(conv(out, f'{block}.conv1', stride), f'{block}.bn1')
            out = norm(conv(out.relu(), f'{block}.conv2'), f'{block}.bn2')
            out = (out + shortcut).relu()
            torch.testing.assert_close(feat, out)

    def test_act_cfg(self):
        backbone = CIFARResNet(8, act_cfg=dict(type='LeakyReLU'))
        self.assertIsInstance(backbone.relu, nn.LeakyReLU)
        self.assertIsInstance(backbone.layer3[0].relu, nn.LeakyReLU)

    def test_errors(self):
        for kwargs, message in (
            (dict(depth=18), 'depth should be 6n [+] 2 .*8, 14, 20.*got 18'),
            (dict(depth=2), 'depth should be .* got 2'),
            (
                dict(depth=8, stage_channels=(16, 32)),
                r'stage_channels should .* 3 whole .* got \(16, 32\)',
            ),
            (
                dict(depth=8, stage_channels=(16, 32, 0)),
                r'stage_channels should .*>= 1, .* got \(16, 32, 0\)',
            ),
            (dict(depth=8, stage_channels=16), 'stage_channels .* got 16'),
            (
                dict(depth=8, strides=(1, 2, 2, 2)),
                r'strides should .* 3 whole .* got \(1, 2, 2, 2\)',
            ),
            (dict(depth=8, strides=2), 'strides should be a list .* got 2'),
            (dict(depth='20'), "depth should be .* got '20'"),
            (dict(depth=8.0), 'depth should be .* got 8.0'),
        ):
            with (
                self.subTest(kwargs),
                self.assertRaisesRegex(ValueError, message),
            ):
                CIFARResNet(**kwargs)
