# Short: large networks on a processor.
_base_ = './digits_40e.py'

optim_wrapper = dict(optimizer=dict(lr=0.05))
param_scheduler = dict(end=6)
train_cfg = dict(max_epochs=6)

auto_scale_lr = dict(base_batch_size=16)
