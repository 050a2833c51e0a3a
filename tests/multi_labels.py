"""A run with several labels per image: bright quarters of small images."""

import json
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config


def write_images(folder: Path, split: str, number: int) -> None:
    """Write images, and which of their quarters are bright."""
    random = np.random.default_rng(number)
    data = []
    for index in range(number):
        image = random.integers(0, 80, (16, 16, 3))
        labels = np.flatnonzero(random.random(4) < 0.5).tolist()
        for label in labels:
            y, x = divmod(label, 2)
            image[8 * y : 8 * y + 8, 8 * x : 8 * x + 8] += 120
        name = f'{split}{index}.png'
        assert cv2.imwrite(str(folder / name), image.astype('uint8'))
        data.append(dict(img_path=name, gt_label=labels))
    (folder / f'{split}.json').write_text(
        json.dumps(dict(metainfo=dict(classes=list('abcd')), data_list=data))
    )


def dataloader(folder: Path, split: str) -> dict:
    return dict(
        batch_size=8,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='mmpretrain.MultiLabelDataset',
            data_root=str(folder),
            ann_file=f'{split}.json',
            pipeline=[
                dict(type='mmpretrain.LoadImageFromFile'),
                dict(type='mmpretrain.Resize', scale=16),
                dict(type='mmpretrain.PackInputs'),
            ],
        ),
    )


def use_multi_labels(cfg: Config, folder: Path) -> Config:
    """Let a config of the digits be one of several labels per image."""
    for split, number in (('train', 16), ('val', 12)):
        write_images(folder, split, number)
    cfg.train_dataloader = dataloader(folder, 'train')
    cfg.val_dataloader = dataloader(folder, 'val')
    cfg.test_dataloader = dataloader(folder, 'val')
    cfg.val_evaluator = cfg.test_evaluator = dict(
        type='mmpretrain.MultiLabelMetric'
    )
    cfg.train_cfg.max_epochs = 1
    model = cfg.model
    model.data_preprocessor = dict(
        type='mmpretrain.ClsDataPreprocessor',
        mean=[100.0] * 3,
        std=[60.0] * 3,
        num_classes=4,
        to_onehot=True,
    )
    for role, channels in (('architecture', 16), ('teacher', 32)):
        model[role].backbone.in_channels = 3
        model[role].head = dict(
            type='MultiLabelLinearClsHead', num_classes=4, in_channels=channels
        )
    losses = model.distiller.distill_losses
    losses.loss_kd = dict(type='mmdskd.BinaryKLDivergence', tau=1)
    if 'loss_dskd' in losses:
        losses.loss_dskd.logit_loss = losses.loss_kd
        model.distiller.connectors.heads.num_classes = 4
    return cfg
