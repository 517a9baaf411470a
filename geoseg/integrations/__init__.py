"""What other libraries have that geoseg can use: weights by name, data sets, checkpoints. Nothing else imports them."""
