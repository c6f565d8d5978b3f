"""The shared words: frozen values without I/O. Everything else speaks in these."""
