"""Many runs: what they are, where they stand, what they cost, and who executes them."""
