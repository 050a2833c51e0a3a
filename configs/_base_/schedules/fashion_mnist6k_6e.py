# For the students on a tenth of the images.
_base_ = './fashion_mnist_6e.py'

optim_wrapper = dict(optimizer=dict(lr=0.05))
param_scheduler = dict(end=6)
train_cfg = dict(max_epochs=6)
