"""From a distillation run to the student that is deployed."""
