"""Watches what a cell reads and writes."""
