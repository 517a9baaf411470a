"""Training: samples, blocked split, augmentation, losses and fitting."""
