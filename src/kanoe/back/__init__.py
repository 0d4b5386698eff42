"""Where tasks run and what a run leaves behind: live kernels, the executed notebook, its page and its log."""
