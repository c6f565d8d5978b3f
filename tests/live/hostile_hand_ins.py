"""Hand-ins of people who wish the grader ill: programs, sources for the compiler, and files; each with its verdict."""

from __future__ import annotations

from typing import Any

__all__ = ["BUILDS", "PROGRAMS", "TOUCHED", "program"]

_INCLUDES = (
    "#define _GNU_SOURCE\n"
    + "".join(f"#include <{name}.h>\n" for name in (
        "errno", "fcntl", "linux/filter", "linux/seccomp", "pthread", "sched", "signal", "stdio", "stdlib", "string",
        "sys/mman", "sys/personality", "sys/prctl", "sys/ptrace", "sys/resource", "sys/shm", "sys/socket", "sys/stat",
        "sys/syscall", "sys/un", "sys/wait", "time", "unistd",
    ))
)  # fmt: skip
_FILTER = (
    "struct sock_filter f[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_%s, 0, 1),"
    " BPF_STMT(BPF_RET | BPF_K, %s), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};"
    " struct sock_fprog p = {4, f}; prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); prctl(PR_SET_SECCOMP, 2, &p); "
)


def program(body: str) -> str:
    """Return the source of a program whose main does *body*; functions stand before `MAIN`, if it is in it."""
    before, _, inside = body.rpartition("MAIN")
    return f"{_INCLUDES}{before}\nint main(int argc, char **argv)\n{{\n    {inside} return 0;\n}}\n"


PROGRAMS = {
    # ---- time ----
    "loop": ("TO", "for (;;);"),
    "fork bomb": ("TO", "for (;;) fork();"),
    "vfork bomb": ("TO", "for (;;) if (!vfork()) _exit(0);"),
    "sleeper": ("TO", "for (;;) pause();"),
    "stops itself": ("TO", "raise(SIGSTOP);"),
    "waits at a fifo": ("TO", 'mkfifo("/tmp/f", 0600); open("/tmp/f", O_RDONLY);'),
    "ignores its limit": ("TO", "signal(SIGXCPU, SIG_IGN); for (;;);"),
    "endless pieces": ("OL or TO", "for (;;) free(malloc(10));"),
    "endless signals": ("TO", "signal(SIGUSR1, SIG_IGN); for (;;) raise(SIGUSR1);"),
    "endless exec": ("OL or TO", 'for (;;) execv("/proc/self/exe", argv);'),
    "raises its priority": ("TO", "struct sched_param p = {1}; sched_setscheduler(0, SCHED_FIFO, &p); nice(-20); for (;;);"),
    "raises its limits": ("TO", "struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY}; setrlimit(RLIMIT_CPU, &r); for (;;);"),
    # ---- memory and output ----
    "memory bomb": ("ML", "for (;;) memset(malloc(1 << 20), 1, 1 << 20);"),
    "small pieces": ("ML", "for (;;) if (!malloc(100000)) abort();"),
    "maps all": ("OK", "while (mmap(0, 1 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED); mlockall(MCL_CURRENT);"),
    "output flood": ("OL", 'for (;;) puts("a line of many, and each of them as long as this one is");'),
    "error flood": ("OL", 'for (;;) fputs("a line of many, and each of them as long as this one is\\n", stderr);'),
    "large file": ("OL", 'int f = open("/tmp/f", O_CREAT | O_WRONLY, 0600); static char b[1 << 20]; for (;;) write(f, b, sizeof b);'),
    "many files": ("OK", 'static char b[1 << 20]; for (int i = 0; i < 99; i++) { char n[20]; sprintf(n, "/tmp/%d", i); int f = open(n, O_CREAT | O_WRONLY, 0600); write(f, b, sizeof b); close(f); }'),
    # ---- others' processes and files ----
    "kills all": ("OK", "kill(-1, SIGKILL); kill(getppid(), SIGKILL);"),
    "stops its parent": ("TO", "kill(getppid(), SIGSTOP); kill(1, SIGSTOP);"),
    "traces all": ("OK", "for (int i = 0; i < 99; i++) ptrace(PTRACE_ATTACH, i, 0, 0); ptrace(PTRACE_TRACEME, 0, 0, 0);"),
    "writes everywhere": ("OK", 'system("echo 10 | tee /box/x /usr/x /etc/x /proc/1/fd/1 /proc/*/fd/2; rm -rf /box") == 0;'),
    "writes to every descriptor": ("OK", 'for (int i = 3; i < 4096; i++) write(i, "{\\"score\\": 10}", 13);'),
    "closes everything": ("OK", "for (int i = 0; i < 4096; i++) close(i);"),
    "writes results": ("OK", 'for (char **n = (char *[]){"results.json", "/autograder/results/results.json", "/tmp/../results.json", 0}; *n; n++) { int f = open(*n, O_CREAT | O_WRONLY, 0666); write(f, "{}", 2); }'),
    "links out of its folder": ("OK", 'symlink("/etc/shadow", "/tmp/a"); symlink("/", "/box/b"); link("/etc/passwd", "/tmp/c"); char b[9]; return read(open("/tmp/a", O_RDONLY), b, 9) > 0;'),
    "reads the memory of others": ("OK", 'char n[40]; for (int i = 0; i < 999; i++) { sprintf(n, "/proc/%d/mem", i); int f = open(n, O_RDWR); close(f); }'),
    "mounts": ("OK", 'syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, 0); chroot("/tmp"); syscall(SYS_pivot_root, "/tmp", "/tmp"); unshare(CLONE_NEWUSER | CLONE_NEWNS);'),
    "goes to the network": ("OK", "int s = socket(AF_INET, SOCK_STREAM, 0); struct sockaddr a = {AF_INET, {0, 80, 1, 1, 1, 1}}; return connect(s, &a, sizeof a) == 0;"),
    "leaves shared memory": ("OK", 'shmget(IPC_PRIVATE, 4096, 0600); open("/dev/shm/left", O_CREAT | O_RDWR, 0600);'),
    # ---- children ----
    "leaves a daemon": ("OK", "if (!fork()) { setsid(); if (!fork()) for (;;) pause(); _exit(0); } wait(0);"),
    "hides a child": ("OK", "if (!syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0)) for (;;) pause();"),
    "many threads": ("OK", "static void *sleeps(void *a) { pause(); return a; }\nMAIN pthread_t t; for (int i = 0; i < 99; i++) if (pthread_create(&t, 0, sleeps, 0)) break;"),
    # ---- ends that are none ----
    "ends before main": ("OK", "__attribute__((constructor)) static void early(void) { _exit(0); }\nMAIN"),
    "ends at once": ("OK", "_exit(0);"),
    "becomes another": ("OK", 'execl("/bin/true", "true", (char *)0);'),
    "preloads": ("OK", 'if (!getenv("LD_PRELOAD")) { setenv("LD_PRELOAD", "/tmp/x.so", 1); execv("/proc/self/exe", argv); }'),
    "says that it failed": ("RE", "exit(3);"),
    "killed by itself": ("RE", "raise(SIGKILL);"),
    "killed by a filter": ("RE", "if (prctl(PR_SET_SECCOMP, 1)) raise(SIGKILL); free(malloc(10));"),
    "killed by a filter of its own": ("RE", _FILTER % ("getppid", "SECCOMP_RET_KILL_PROCESS") + "getppid();"),
    "refuses itself memory": ("ML", _FILTER % ("brk", "SECCOMP_RET_ERRNO | 12") + _FILTER.replace("f[]", "g[]").replace(", f}", ", g}").replace("sock_fprog p", "sock_fprog q").replace("&p", "&q") % ("mmap", "SECCOMP_RET_ERRNO | 12") + "if (!malloc(100)) return 4;"),
    "traps": ("RE", '__asm__("int3");'),
    "illegal": ("RE", '__asm__("ud2");'),
    "too deep": ("RE", "static int deep(int n) { volatile char a[9999]; a[n % 9] = 1; return deep(n + 1) + a[0]; }\nMAIN return deep(0);"),
    "breaks the heap": ("RE", "char *p = malloc(24); memset(p, 7, 4000); free(p); for (int i = 0; i < 9; i++) malloc(99 * i);"),
    # ---- the observer ----
    "no dumps": ("OK", "prctl(PR_SET_DUMPABLE, 0); prctl(PR_SET_PTRACER, 0); free(malloc(10));"),
    "privileged calls": ("OK", "syscall(SYS_perf_event_open, 0, 0, -1, -1, 0); syscall(SYS_bpf, 0, 0, 0); syscall(SYS_userfaultfd, 0); syscall(SYS_process_vm_readv, 1, 0, 0, 0, 0, 0); syscall(SYS_kexec_load, 0, 0, 0, 0); syscall(SYS_add_key, 0, 0, 0, 0, 0);"),
    "rings": ("OK", "char p[256] = {0}; int f = syscall(425, 8, p); if (f >= 0) syscall(426, f, 1, 0, 0, 0, 0);"),
    "another personality": ("OK", "personality(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC); if (argc == 1) execl(\"/proc/self/exe\", \"x\", \"y\", (char *)0);"),
    "steers a terminal": ("OK", 'puts("\\033[2J\\033]0;owned\\007<script>alert(1)</script>");'),
    "prints no text": ("OK", "for (int i = 0; i < 256; i++) putchar(i);"),
    "its own malloc": ("OK", "void *malloc(size_t n) { static char b[1 << 16]; static size_t at; at += 64 + n / 16 * 16; return b + at - n / 16 * 16 - 32; }\nvoid free(void *p) { (void)p; }\nMAIN free(malloc(10));"),
}  # fmt: skip
"""By name: the verdict, and what the program does. None of them earns a point."""

BUILDS = {
    "endless include": '#include "/dev/zero"\n',
    "another's file": '#include "/etc/shadow"\n',
    "includes itself": "#include __FILE__\n",
    "huge array": "char a[1L << 40] = {1};\nint main(void) { return 0; }\n",
    "no C": "int main(void) { retrun 0; }\n",
    "nothing": "",
    "macro bomb": "#define A x x x x x x x x x x\n" + "".join(
        f"#define {chr(66 + n)} {' '.join([chr(65 + n)] * 10)}\n" for n in range(9)
    ) + "int main(void) { J }\n",
    "assembler bomb": '__asm__(".rept 2000000000\\nnop\\n.endr");\nint main(void) { return 0; }\n',
    "takes in a device": '__asm__(".incbin \\"/dev/zero\\"");\nint main(void) { return 0; }\n',
    "deep parentheses": f"int main(void) {{ return {'(' * 500_000}0{')' * 500_000}; }}\n",
    "no main": "int x;\n",
    "bytes": "\x00\x01\x02",
}  # fmt: skip
"""By name: a source that cannot be built."""

TOUCHED: dict[str, tuple[str, dict[str, Any]]] = {
    "a recording that is none": ("its recording is none", {"recording": {"files": {"meta.json": "<no base 64>"}, "checks": {}}}),
    "an edited recording": ("it was changed after it had been made", {"recording": {"files": {"meta.json": "AAAA"}, "checks": {}}}),
    "an outcome of its own": ("it was changed after it had been made", {"recording": {"files": {}, "checks": {"nothing left": "passed"}}}),
    "another seed": ("it was changed after it had been made", {"seed": "2"}),
    "another source": ("quick.c is not the file that was hashed", {"sources": {"quick.c": "int main(void) { return 0; }\n"}}),
    "a path": ("it was changed after it had been made", {"recording": {"files": {"../../etc/cron.d/x": "AAAA"}, "checks": {}}}),
    "a header of its own": ("quick.c is not the file that was hashed", {"sources": {"quick.c": "int main(void) { return 0; }\n", "parameters.h": "#define SIZE 1\n", "../../x.c": ""}}),
}  # fmt: skip
"""By name: why it is suspect, and what was put into a hand-in after it had been made."""
