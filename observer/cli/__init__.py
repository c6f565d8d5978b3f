"""The command line: one module a verb; each parses, calls, prints and gives an exit status."""
