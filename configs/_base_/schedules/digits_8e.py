# Short, to show what teaches fast.
_base_ = './digits_40e.py'

optim_wrapper = dict(optimizer=dict(lr=0.05))
param_scheduler = dict(end=8)
train_cfg = dict(max_epochs=8)
