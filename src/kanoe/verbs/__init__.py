"""One module per verb: typed options in, report out. A module is imported when its verb is called."""
