"""What compression costs in accuracy, beside other tools, without any training."""
