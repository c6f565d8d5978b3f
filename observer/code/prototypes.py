"""What the arguments of each system call are, and which calls belong together: python-ptrace's table, completed.

The table has the kernel's own prototypes (include/linux/syscalls.h); calls that it lacks are below.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from ptrace.syscall import FILENAME_ARGUMENTS, SOCKET_SYSCALL_NAMES, SYSCALL_PROTOTYPES

__all__ = ["Parameter", "arity_of", "families", "parameters_of", "takes_path"]

Parameter = tuple[str, str]
"""A C type and a name."""

_FD: Final = ("unsigned int", "fd")
_PATH: Final = ("const char *", "pathname")
_VECTOR: Final = (("unsigned long", "fd"), ("const struct iovec *", "vec"), ("unsigned long", "vlen"))
_AT: Final = (("unsigned long", "offset_low"), ("unsigned long", "offset_high"), ("int", "flags"))
_LACKING: Final[dict[str, tuple[Parameter, ...]]] = {
    "arch_prctl": (("int", "option"), ("unsigned long", "addr")),
    "rt_sigreturn": (),
    "rseq": (("struct rseq *", "rseq"), ("u32", "rseq_len"), ("int", "flags"), ("u32", "sig")),
    "clone3": (("struct clone_args *", "uargs"), ("size_t", "size")),
    "openat2": (("int", "dfd"), _PATH, ("struct open_how *", "how"), ("size_t", "usize")),
    "faccessat2": (("int", "dfd"), _PATH, ("int", "mode"), ("int", "flags")),
    "fchmodat2": (("int", "dfd"), _PATH, ("umode_t", "mode"), ("unsigned int", "flags")),
    "close_range": (_FD, ("unsigned int", "max_fd"), ("unsigned int", "flags")),
    "pidfd_open": (("pid_t", "pid"), ("unsigned int", "flags")),
    "preadv2": (*_VECTOR, *_AT), "pwritev2": (*_VECTOR, *_AT),
    "pkey_mprotect": (
        ("unsigned long", "start"), ("size_t", "len"), ("unsigned long", "prot"), ("int", "pkey"),
    ),
    "pkey_alloc": (("unsigned long", "flags"), ("unsigned long", "init_val")),
    "pkey_free": (("int", "pkey"),),
    "process_madvise": (
        ("int", "pidfd"), ("const struct iovec *", "vec"), ("size_t", "vlen"), ("int", "behavior"),
        ("unsigned int", "flags"),
    ),
    "mseal": (("unsigned long", "start"), ("size_t", "len"), ("unsigned long", "flags")),
    "map_shadow_stack": (("unsigned long", "addr"), ("unsigned long", "size"), ("unsigned int", "flags")),
    "oldstat": SYSCALL_PROTOTYPES["stat"][1], "oldlstat": SYSCALL_PROTOTYPES["lstat"][1],
    "oldfstat": SYSCALL_PROTOTYPES["fstat"][1], "umount": (("const char *", "name"),), "sigreturn": (),
    "umount2": (("const char *", "name"), ("int", "flags")),
    "set_thread_area": (("struct user_desc *", "u_info"),),
    "get_thread_area": (("struct user_desc *", "u_info"),),
    "modify_ldt": (("int", "func"), ("void *", "ptr"), ("unsigned long", "bytecount")),
    "iopl": (("unsigned int", "level"),),
    "_llseek": SYSCALL_PROTOTYPES["llseek"][1],
    "ugetrlimit": (("unsigned int", "resource"), ("struct rlimit *", "rlim")),
    "old_mmap": (("struct mmap_arg_struct *", "arg"),),
}  # fmt: skip

_PROCESS: Final = frozenset({
    "clone", "clone3", "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "waitpid",
    "kill", "tkill", "tgkill", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
})  # fmt: skip
_SIGNAL: Final = _PROCESS - {"clone", "clone3", "fork", "vfork", "execve", "execveat", "exit", "exit_group"} - {
    "wait4", "waitid", "waitpid"
} | {
    "sigaction", "sigaltstack", "signal", "signalfd", "signalfd4", "sigpending", "sigprocmask", "sigreturn",
    "sigsuspend", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend",
    "rt_sigtimedwait", "rt_sigtimedwait_time64", "pause", "sgetmask", "ssetmask",
    "io_uring_enter",
}  # fmt: skip
_NETWORK: Final = frozenset(SOCKET_SYSCALL_NAMES) | {
    "socketcall", "accept4", "recvmmsg", "recvmmsg_time64", "sendmmsg", "sendfile", "sendfile64", "send",
    "recv", "getpmsg", "putpmsg",
}  # fmt: skip
# Name a file in a way that their prototypes do not show as such, or have none there.
_ALSO_FILE: Final = frozenset({
    "getcwd", "mount", "name_to_handle_at", "utime", "utimes", "fsconfig", "fspick", "mount_setattr", "move_mount",
    "open_tree",
})  # fmt: skip
# Take a name of the file system under a name that the table does not count as one.
_MORE_PATHS: Final = {
    ("acct", "name"), ("swapoff", "specialfile"), ("swapon", "specialfile"), ("umount", "name"), ("umount2", "name"),
    ("mount", "dev_name"), ("mount", "dir_name"), ("pivot_root", "new_root"), ("pivot_root", "put_old"),
    ("quotactl", "special"), ("uselib", "library"),
}  # fmt: skip


@cache
def parameters_of(name: str) -> tuple[Parameter, ...] | None:
    """Return the types and names of a call's parameters; None where no table knows the call."""
    for known in (name, name.removesuffix("_time64"), name.removesuffix("64"), name.removesuffix("32")):
        if known in _LACKING:
            return _LACKING[known]
        prototype = SYSCALL_PROTOTYPES.get(known)
        if prototype is not None:
            return tuple((str(kind), str(word)) for kind, word in prototype[1])
    return None


def arity_of(name: str) -> int:
    """Return how many arguments the call *name* takes; 6, all the registers, where no table knows.

    >>> arity_of("brk"), arity_of("mmap")
    (1, 6)
    """
    parameters = parameters_of(name)
    return 6 if parameters is None else len(parameters)


def takes_path(name: str, parameter: Parameter) -> bool:
    """Whether this parameter of the call *name* points to a file's name that the kernel reads."""
    kind, word = parameter
    return kind == "const char *" and (word in FILENAME_ARGUMENTS or (name, word) in _MORE_PATHS)


def families(names: frozenset[str]) -> dict[str, frozenset[str]]:
    """Return the classes of system calls that -e may name, out of *names* (strace(1), -e trace=%class)."""
    by_path = {name for name in names if any(takes_path(name, each) for each in parameters_of(name) or ())}
    return {
        "file": frozenset(by_path | (_ALSO_FILE & names)),
        "network": _NETWORK & names,
        "process": _PROCESS & names,
        "signal": _SIGNAL & names,
    }
