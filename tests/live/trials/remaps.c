/* Changes its mappings by calls whose arguments do not tell what becomes of them, among MANY other mappings. */
#define _GNU_SOURCE
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096

static void make_many(int many)
{
    char *place = mmap(NULL, (size_t)many * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < many; i += 2)
        mprotect(place + (size_t)i * PAGE, PAGE, PROT_READ | PROT_WRITE);
}

int main(int count, char **words)
{
    make_many(count == 2 ? atoi(words[1]) : 10);
    int id = shmget(IPC_PRIVATE, 6 * PAGE, IPC_CREAT | 0600);
    char *kept = shmat(id, NULL, 0), *gone = shmat(id, NULL, 0), *split = shmat(id, NULL, SHM_RDONLY);
    char *target = mmap(NULL, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *over = shmat(id, target + PAGE, SHM_REMAP);
    shmctl(id, IPC_RMID, NULL);
    if (kept == (void *)-1 || gone == (void *)-1 || split == (void *)-1 || over == (void *)-1)
        return 1;
    mprotect(gone + 2 * PAGE, PAGE, PROT_NONE); /* three parts now */
    munmap(split + 4 * PAGE, PAGE);
    remap_file_pages(kept + 3 * PAGE, PAGE, 0, 0, 0);
    aio_context_t first = 0, second = 0;
    syscall(SYS_io_setup, 4, &first);
    syscall(SYS_io_setup, 64, &second);
    syscall(SYS_io_destroy, first);
    return shmdt(gone) + shmdt(split);
}
