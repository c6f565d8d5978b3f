"""Programs' code: ELF files, DWARF lines, call-frame rules, instructions; system calls in words."""
