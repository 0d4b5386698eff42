"""Whether a run reproduced what its author's notebook shows: the outputs of both, compared as a reader would compare them.

outputs    the outputs of one cell, paired and compared, each by its kind
texts      what was printed: numbers as numbers, words as words
tables     tables of HTML, cell by cell
images     drawn images, by what the eye sees
figures    figures that are data: Plotly, Vega, SVG
noise      what differs between any two runs (`rules.toml`: addresses, times, progress bars, spellings of other versions)
tokens     a text as numbers and words
verdicts   what a comparison came to, and the sum over a run
notebooks  all cells of a run
"""
