"""Frozen values that front ends read into and engines run from. Standard library only."""
