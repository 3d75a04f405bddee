"""What Semore is: the method in plain PyTorch and NumPy, readable against the paper."""
