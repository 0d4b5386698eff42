"""Front ends: from any file to a `Source`, and what its cells say before they run.

`read` takes a reference (a file or a folder) and asks the reader of its kind, `notebook` or `script`; `kaggle` reads
the metadata beside it. `parameters` and `paths` look into the cells. Nothing here executes a line of what it reads.
"""
