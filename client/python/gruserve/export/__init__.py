"""Export of PyTorch modules and Keras weights to a gruserve repository: the command `gruserve-export`."""
