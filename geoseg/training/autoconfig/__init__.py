"""A training config from data: which files belong together, what they hold, what follows for the training."""
