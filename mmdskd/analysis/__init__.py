"""What a model or a training step costs: FLOPs, time and memory."""
