"""The doors to the kernel: ptrace, wait, seccomp, perf_event, procfs. The only ctypes."""
