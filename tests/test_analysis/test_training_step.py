"""Training steps that are run one by one."""

import copy

import pytest
import torch

from mmdskd.analysis.training_step import LOGITS_STD


def test_dskd_step_runs_hooks(build, dskd_config):
    (loop,) = build(dskd_config)
    assert len(loop.batches[0]['inputs']) == 8
    runner = loop.runner
    loss = runner.model.distiller.distill_losses['loss_dskd']
    before = [buffer.clone() for buffer in loss.buffers()]
    weight = runner.model.architecture.head.fc.weight.clone()
    loop.step()
    assert runner.iter == 1
    assert not torch.equal(runner.model.architecture.head.fc.weight, weight)
    assert any(
        not torch.equal(new, old) for new, old in zip(loss.buffers(), before)
    )


def test_synthetic_images_need_no_data_set(build, plain_config):
    plain_config.train_dataloader.dataset.type = 'NotAtHand'
    (loop,) = build(plain_config, synthetic=(1, 12, 10), num_batches=2)
    loop.step()
    images = [image for batch in loop.batches for image in batch['inputs']]
    assert [tuple(image.shape) for image in images] == [(1, 12, 10)] * 16
    assert not torch.equal(images[0], images[1])


def test_images_must_keep_their_size(build, plain_config):
    plain_config.data_preprocessor = dict(
        plain_config.data_preprocessor,
        type='mmdskd.AugmentingDataPreprocessor',
        augments=[
            dict(type='mmdskd.BatchRandomCrop', crop_size=12, padding=1)
        ],
    )
    with pytest.raises(
        ValueError,
        match=r'of config 1 makes \(1, 12, 12\) of them.* --cfg-options '
        r'data_preprocessor.augments.0.crop_size=14',
    ):
        build(plain_config, synthetic=(1, 14, 14))


def test_all_start_alike(build, dskd_config):
    """Also where the numbers are drawn in another order, by a wider teacher
    or for other heads."""
    other = copy.deepcopy(dskd_config)
    distiller = other.model.distiller
    heads = distiller.connectors.pop('heads')
    distiller.connectors.another = dict(heads)
    distiller.connectors.heads = heads
    for part in ('distill_losses', 'loss_forward_mappings'):
        loss = copy.deepcopy(distiller[part].loss_dskd)
        distiller[part].loss_other = loss
    loss.branches.connector = 'another'
    first, second = build(dskd_config, other, num_batches=2)
    assert len(first.batches) == 2
    for batch, other_batch in zip(first.batches, second.batches):
        assert torch.equal(
            torch.stack(batch['inputs']), torch.stack(other_batch['inputs'])
        )
    theirs = second.runner.model.state_dict()
    for name, tensor in first.runner.model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    # The statistics of the teacher are those of the first batch, and its
    # logits are no longer next to 0.
    model = first.runner.model
    inputs = model.data_preprocessor(first.batches[0], True)['inputs']
    norm = model.teacher.backbone.bn1
    features = model.teacher.backbone.conv1(inputs)
    torch.testing.assert_close(norm.running_mean, features.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(norm.running_var, features.var(dim=(0, 2, 3)))
    logits = model.teacher.eval()(inputs)
    assert logits.std().item() == pytest.approx(LOGITS_STD, rel=1e-4)
