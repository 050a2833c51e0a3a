# Recovers the pruned network by the labels alone.
_base_ = [
    '../../_base_/datasets/digits_bs64.py',
    '../../_base_/models/digits/resnet20_fisher.py',
    '../../_base_/schedules/digits_30e.py',
    '../../_base_/default_runtime.py',
]

model = _base_.resnet20_fisher
# Inside: MMRazor would ignore one beside `cfg`.
model.cfg.data_preprocessor = _base_.data_preprocessor
