/* The tests' own count of allocator calls: a library put in front with LD_PRELOAD.
 *
 * It counts outermost calls by function and passes them on; a call made inside another one of the family on the same
 * thread is not counted. The counts live in a file mapped shared, named by process, so that they survive every kind of
 * end. Calls before the constructor are counted in static memory and carried over.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MALLOC, CALLOC, REALLOC, FREE, REALLOCARRAY, MEMALIGN, ALIGNED_ALLOC, POSIX_MEMALIGN, VALLOC, PVALLOC, MALLOC_TRIM,
       USABLE_SIZE, KINDS };

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);
extern void *__libc_memalign(size_t, size_t);
extern void *__libc_valloc(size_t);
extern void *__libc_pvalloc(size_t);

#ifdef NEXT
/* Compiled so, it passes calls on to whatever comes behind it, another allocator that is preloaded too. */
static void *(*next_malloc)(size_t), *(*next_calloc)(size_t, size_t), *(*next_realloc)(void *, size_t);
static void *(*next_memalign)(size_t, size_t), *(*next_valloc)(size_t), *(*next_pvalloc)(size_t);
static void (*next_free)(void *);

static void find_next(void)
{
    if (next_malloc)
        return;
    next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    next_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    next_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    next_memalign = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "memalign");
    next_valloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "valloc");
    next_pvalloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "pvalloc");
    next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
}

#define __libc_malloc(size) (find_next(), next_malloc(size))
#define __libc_calloc(n, size) (find_next(), next_calloc(n, size))
#define __libc_realloc(old, size) (find_next(), next_realloc(old, size))
#define __libc_free(p) (find_next(), next_free(p))
#define __libc_memalign(a, size) (find_next(), next_memalign(a, size))
#define __libc_valloc(size) (find_next(), next_valloc(size))
#define __libc_pvalloc(size) (find_next(), next_pvalloc(size))
#endif

static unsigned long early[KINDS];
static unsigned long *counts = early;
static __thread char *outer __attribute__((tls_model("initial-exec")));

/* A call is inside another one if its frame lies deeper; a frame that longjmp left is no longer above anything. */
#define COUNT(kind) \
    char *here = __builtin_frame_address(0), *before = outer; \
    if (!before || here >= before) { \
        outer = here; \
        __atomic_fetch_add(&counts[kind], 1, __ATOMIC_RELAXED); \
    }
#define DONE() (outer = here == outer ? NULL : outer, (void)before)

static void open_file(void)
{
    const char *directory = getenv("COUNTER_DIRECTORY");
    char path[4096];
    if (!directory || strlen(directory) > 4000)
        return;
    char *end = stpcpy(path, directory);
    *end++ = '/';
    long pid = getpid();
    char digits[24], *digit = digits + sizeof digits;
    *--digit = 0;
    do *--digit = '0' + pid % 10; while (pid /= 10);
    stpcpy(end, digit);
    for (int attempt = 0; attempt < 100; attempt++) {
        /* One file an image: a process that execs begins another. */
        char *tail = path + strlen(directory) + 1 + strlen(digit);
        tail[0] = '.'; tail[1] = '0' + attempt / 10; tail[2] = '0' + attempt % 10; tail[3] = 0;
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EEXIST)
            continue;
        if (fd < 0 || ftruncate(fd, 4096))
            return;
        unsigned long *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (shared == MAP_FAILED)
            return;
        memcpy(shared, counts, sizeof early);
        counts = shared;
        return;
    }
}

static void in_child(void)
{
    memset(early, 0, sizeof early);
    counts = early;
    open_file();
}

__attribute__((constructor)) static void begin(void)
{
    open_file();
    pthread_atfork(NULL, NULL, in_child);
}

void *malloc(size_t size) { COUNT(MALLOC); void *p = __libc_malloc(size); DONE(); return p; }
void *calloc(size_t n, size_t size) { COUNT(CALLOC); void *p = __libc_calloc(n, size); DONE(); return p; }
void *realloc(void *old, size_t size) { COUNT(REALLOC); void *p = __libc_realloc(old, size); DONE(); return p; }
void free(void *p) { COUNT(FREE); __libc_free(p); DONE(); }
void *memalign(size_t a, size_t size) { COUNT(MEMALIGN); void *p = __libc_memalign(a, size); DONE(); return p; }
void *aligned_alloc(size_t a, size_t size) { COUNT(ALIGNED_ALLOC); void *p = __libc_memalign(a, size); DONE(); return p; }
void *valloc(size_t size) { COUNT(VALLOC); void *p = __libc_valloc(size); DONE(); return p; }
void *pvalloc(size_t size) { COUNT(PVALLOC); void *p = __libc_pvalloc(size); DONE(); return p; }

void *reallocarray(void *old, size_t n, size_t size)
{
    COUNT(REALLOCARRAY);
    size_t total;
    void *p = NULL;
    if (__builtin_mul_overflow(n, size, &total))
        errno = ENOMEM;
    else
        p = __libc_realloc(old, total);
    DONE();
    return p;
}

int posix_memalign(void **slot, size_t a, size_t size)
{
    COUNT(POSIX_MEMALIGN);
    int error = EINVAL;
    if (a % sizeof(void *) == 0 && a && (a & (a - 1)) == 0) {
        void *p = __libc_memalign(a, size);
        error = p ? 0 : ENOMEM;
        if (p)
            *slot = p;
    }
    DONE();
    return error;
}

int malloc_trim(size_t pad)
{
    static int (*real)(size_t);
    COUNT(MALLOC_TRIM);
    if (!real)
        real = (int (*)(size_t))dlsym(RTLD_NEXT, "malloc_trim");
    int result = real(pad);
    DONE();
    return result;
}

size_t malloc_usable_size(void *p)
{
    static size_t (*real)(void *);
    COUNT(USABLE_SIZE);
    if (!real)
        real = (size_t (*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
    size_t result = real(p);
    DONE();
    return result;
}
