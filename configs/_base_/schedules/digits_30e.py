_base_ = './digits_40e.py'

param_scheduler = dict(end=30)
train_cfg = dict(max_epochs=30)
