"""One engine: it asks a program which tasks may start, hands them to a runner and reports events. Standard library only."""
