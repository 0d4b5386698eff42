"""A place that looks like Kaggle to a notebook: its paths, its environment variables, and walls around it."""
