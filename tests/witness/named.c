/*
 * named.c: system calls whose arguments have names, each with one value after the other.
 *
 * All are refused: the descriptor is -1, the length 0, the pointer bad. Nothing is changed by any of them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BAD ((void *)-1)

int main(void)
{
    static const int commands[] = {0, 1, 2, 3, 4, 8, 9, 10, 11, 1024, 1025, 1030, 1031, 1032, 1033, 1034};

    for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++)
        syscall(SYS_fcntl, -1, commands[i], 0);
    for (int i = 0; i < 5; i++)
        syscall(SYS_lseek, -1, 17L << 32, i);
    for (int i = 0; i < 16; i++) {
        syscall(SYS_prlimit64, -1, i, NULL, BAD);
        syscall(SYS_getrlimit, i, BAD);
    }
    for (int i = 0; i < 12; i++)
        syscall(SYS_clock_gettime, i, BAD);
    for (int i = 0; i < 26; i++)
        syscall(SYS_madvise, 1, 4096, i);
    for (int i = 0; i < 8; i++) {
        syscall(SYS_access, "/proc/nowhere", i);
        syscall(SYS_faccessat, -1, "nonexistent", i, 0);
        syscall(SYS_mmap, NULL, 0, i, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        syscall(SYS_mprotect, 1, 4096, i);
    }
    for (int i = 3; i < 22; i++) {
        syscall(SYS_openat, -1, "nonexistent", 1 << i, 0);
        syscall(SYS_pipe2, BAD, 1 << i);
        syscall(SYS_dup3, -1, -1, 1 << i);
    }
    syscall(SYS_openat, -1, "nonexistent", O_TMPFILE | O_RDWR, 0640);
    syscall(SYS_openat, -1, "nonexistent", O_SYNC | O_WRONLY);
    syscall(SYS_pipe2, BAD, 0);
    for (int i = 5; i < 21; i++)
        syscall(SYS_mmap, NULL, 0, PROT_NONE, MAP_SHARED | 1 << i, -1, 0);
    for (int i = 8; i < 14; i++) {
        syscall(SYS_newfstatat, -1, "nonexistent", BAD, 1 << i);
        syscall(SYS_unlinkat, -1, "nonexistent", 1 << i);
        syscall(SYS_linkat, -1, "nonexistent", -1, "nowhere", 1 << i);
    }
    for (int i = 0; i < 20; i++) {
        syscall(SYS_socket, 46 + i, i & 7, 0);
        syscall(SYS_socketpair, i, 0, 0, BAD);
    }
    for (int i = 0; i < 4; i++)
        syscall(SYS_shutdown, -1, i);
    for (int i = 0; i < 15; i++)
        syscall(SYS_sendto, -1, "words", 5, 1 << i, NULL, 0);
    for (int i = 1; i < 32; i++)
        syscall(SYS_kill, 1 << 30, i);
    for (int i = 0; i < 8; i++)
        syscall(SYS_rt_sigprocmask, i, BAD, NULL, 8);
    for (int i = 0; i < 8; i++)
        syscall(SYS_clone, (unsigned long)(1 << 16 | (i & 1) << 8 | (i & 2) << 8 | (i & 4) << 8), 0, 0, 0, 0);
    for (int i = 0; i < 4; i++)
        syscall(SYS_fadvise64, -1, 0, 0, i);
    for (int i = -1; i < 3; i++)
        syscall(SYS_getrusage, i, BAD);
    for (int i = 0; i < 3; i++)
        syscall(SYS_renameat2, -1, "one", -1, "two", 1 << i);
    for (int i = 0; i < 13; i++)
        syscall(SYS_statx, -1, "nonexistent", 0x100, 1 << i, BAD);
    syscall(SYS_write, -1, "1\0012 \v\f\r\n\t\\\"\377\0009", 15);
    syscall(SYS_write, -1, "forty bytes and more of text, too many to be shown", 50);
    syscall(SYS_write, -1, "", 0);
    syscall(SYS_getxattr, "/proc/nowhere", "user.name", BAD, 0);
    syscall(SYS_mkdir, "/proc/nowhere/\033[31m\001\0012\377", 0750);
    syscall(SYS_chmod, "/proc/nowhere/", 04755);
    return 0;
}
