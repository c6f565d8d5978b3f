"""What watches, each one thing: allocator calls, system calls, page faults, mappings and residency."""
