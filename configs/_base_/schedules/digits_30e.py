_base_ = './digits_40e.py'

# At the teacher's learning rate, 0.1, logits KD is unstable for thin students.
optim_wrapper = dict(optimizer=dict(lr=0.05))
param_scheduler = dict(end=30)
train_cfg = dict(max_epochs=30)
