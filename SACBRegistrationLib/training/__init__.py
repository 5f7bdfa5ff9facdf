"""Training on images synthesised from label maps."""
