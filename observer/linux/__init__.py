"""The door to the kernel: ptrace, wait, seccomp, perf_event, procfs, ELF and DWARF. The only ctypes."""
