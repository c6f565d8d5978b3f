"""What is written while the program runs: rare things as notes, each kind a value that is kept as a line of JSON."""
