"""What is run by another build than the one for this platform."""
