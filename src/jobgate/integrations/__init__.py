"""What other systems hand to jobgate, and expect of it. Loaded by the commands that are for them alone."""
