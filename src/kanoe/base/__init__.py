"""The floor: what every other part stands on. Standard library only."""
