# Recovers the pruned network by the labels alone.
_base_ = [
    '../../_base_/datasets/cifar100_bs64.py',
    '../../_base_/models/cifar100/resnet32x4_fisher.py',
    '../../_base_/schedules/cifar100_240e.py',
    '../../_base_/default_runtime.py',
]

model = _base_.resnet32x4_fisher
# Inside: MMRazor would ignore one beside `cfg`.
model.cfg.data_preprocessor = _base_.data_preprocessor
