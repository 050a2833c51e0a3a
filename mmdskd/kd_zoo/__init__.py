"""Checkpoints of RepDistiller, SemCKD, SimKD and mdistiller."""
