"""What is run of a build for another platform, on that platform."""
