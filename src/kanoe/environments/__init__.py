"""Environments: what a source needs, from its imports and declarations to a virtual environment.

    needs -> interpreter -> lock -> environment

`find_needs` (distributions) reads the code, `choose_interpreter` (interpreters) finds the Python, `resolve` or a lock file
(lock, lock_file) fixes every version, `environment_for` (build) installs them with uv. Nothing here runs a notebook.
"""
