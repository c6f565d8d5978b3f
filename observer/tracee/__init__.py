"""Launch, follow, stop, resume: the one wait loop, all of it on one thread."""
