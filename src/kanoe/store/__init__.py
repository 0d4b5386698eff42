"""What is remembered between runs. Standard library only."""
