/*
 * workload.c: runs a workload, a text of one operation a line, on the real allocator and the real kernel.
 *
 *     workload [-o REPORT] FILE
 *
 * The language is that of observer/simulator/workload.py. The whole file is read and checked before anything is run.
 *
 * What is told must not be disturbed by the telling, so between two operations this program
 *   - calls no malloc and no stdio. The operations and what came of them stand in one shared mapping that is in memory
 *     before the first of them; a child of a fork writes into the same, so one process can tell of all in the end;
 *   - knows no table of names: each operation names the operation that made its piece, and finds the address there;
 *   - takes no page fault. settle() brings in, or after a fork copies, every page of program, libraries and stack;
 *   - uses of the stack what it used in the beginning, so what lies below belongs to `stack`.
 * Its own mappings lie far from all others: the first `map` of a workload is placed as in any small program.
 *
 * Before the first operation and after the last one of the main process stands madvise(NULL, 0, MADV_NORMAL), which
 * does nothing but can be seen from outside.
 *
 * The report, one line an operation that was begun, in the order of the file, which is that of execution:
 *
 *     op INDEX LINE DEPTH ADDRESS MINFLT MAJFLT ERRNO     it was completed
 *     died INDEX LINE DEPTH 0x0 0 0 0                     a child died in it
 *
 * and a last line that says how the main process ended:
 *
 *     end LINES           at the end of the file; so many lines are above
 *     died INDEX          by a signal in this operation, as soon as this is written
 *     stopped INDEX       at an access to a piece that was asked for but not granted
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_MACHINE = 1, EXIT_WORKLOAD = 2 };
enum { LONGEST_LINE = 4096, STACK_WINDOW = 64 << 10, FILLER = 64 << 10, REPORT_MOST = 1 << 20, LINE_MOST = 128 };
enum { WORDS_MOST = 5 };                        /* of a line; no operation has more than four */

enum kind {
    MALLOC, CALLOC, MEMALIGN, REALLOC, TOUCH, READ, MAP, POPULATE, SHARED, MAPPED_FILE, STACK, FREE, UNMAP, READONLY,
    NOACCESS, WRITABLE, LOCK, UNLOCK, DONTNEED, LAZYFREE, HUGEPAGE, NOHUGEPAGE, FORK, EXIT, KINDS
};

/* What a name stands for. KEPT: the operation leaves that as it is. */
enum use { UNUSED, FROM_MALLOC, FROM_MMAP, ON_STACK, UNMAPPED, KEPT };

/* How far an operation came. */
enum state { NOT_RUN, BEGUN, DONE, STOPPED };

#define NOBODY UINT32_MAX

struct piece { uintptr_t start; size_t size; };

struct operation {
    uint8_t kind;
    uint8_t state;
    uint32_t line;
    uint32_t depth;                             /* forks around it */
    uint32_t maker;                             /* the operation that made the piece it names, or NOBODY */
    uint32_t partner;                           /* of a fork: the exit that ends its child; without one, the end */
    uint64_t numbers[2];
    struct piece piece;                         /* what a maker made */
    uintptr_t address;                          /* as reported */
    uint32_t minflt, majflt;
    int32_t error;
};

static struct operation *operations;            /* shared by all processes */
static uint32_t operations_count;
static uint32_t current;                        /* the operation that this process is at */
static size_t page_size;
static uintptr_t stack_top, stack_low;          /* the window of the stack that this program uses */
static uintptr_t stack_next;                    /* where the last piece of the stack begins */
static char filler[FILLER];                     /* what files are filled with */
static char scratch[2 * 4096];                  /* for the rehearsal */
static char signal_stack[64 << 10];
static char path_buffer[4096];
static const char *file_name;

static uintptr_t page_down(uintptr_t address) { return address & ~(uintptr_t)(page_size - 1); }
static uintptr_t page_up(uintptr_t address) { return page_down(address + page_size - 1); }

/* ---- text, without stdio ------------------------------------------------------------------------------------ */

struct text { char *bytes; size_t length, size; int fd; };

static char message_bytes[8192];
static struct text message = { message_bytes, 0, sizeof message_bytes, STDERR_FILENO };
static struct text report = { NULL, 0, 0, STDOUT_FILENO };

static void flush(struct text *text)
{
    for (size_t done = 0; done < text->length; ) {
        ssize_t written = write(text->fd, text->bytes + done, text->length - done);

        if (written < 0 && errno != EINTR)
            _exit(EXIT_MACHINE);                /* half a report is not passed off as one */
        done += written > 0 ? (size_t)written : 0;
    }
    text->length = 0;
}

static void put_bytes(struct text *text, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text->length == text->size)
            flush(text);
        text->bytes[text->length++] = bytes[i];
    }
}

static void put(struct text *text, const char *string)
{
    put_bytes(text, string, strlen(string));
}

static void put_number(struct text *text, uint64_t value, unsigned base)
{
    char digits[24];
    char *digit = digits + sizeof digits;

    do {
        *--digit = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    put_bytes(text, digit, (size_t)(digits + sizeof digits - digit));
}

/* A word in quotes; whatever a terminal might take for an order is spelled out. */
static void put_quoted(struct text *text, const char *word, size_t length)
{
    char quote = memchr(word, '\'', length) && !memchr(word, '"', length) ? '"' : '\'';

    put_bytes(text, &quote, 1);
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)word[i];

        if (byte < ' ' || byte == 0x7f) {
            put(text, byte < 0x10 ? "\\x0" : "\\x");
            put_number(text, byte, 16);
            continue;
        }
        if (byte == '\\' || byte == quote)
            put(text, "\\");
        put_bytes(text, word + i, 1);
    }
    put_bytes(text, &quote, 1);
}

/* Begin a message about a place of the workload; what is wrong is for the caller to add. Column 0: the whole line. */
static struct text *at_line(uint32_t line, size_t column)
{
    put(&message, "workload: ");
    put(&message, file_name);
    put(&message, ": line ");
    put_number(&message, line, 10);
    if (column != 0) {
        put(&message, ", column ");
        put_number(&message, column, 10);
    }
    put(&message, ": ");
    return &message;
}

static void finish_message(const char *rest)
{
    put(&message, rest);
    put(&message, "\n");
    flush(&message);
}

static _Noreturn void wrong_workload(const char *rest)
{
    finish_message(rest);
    _exit(EXIT_WORKLOAD);
}

static _Noreturn void trouble(const char *name, const char *what, int status)
{
    int error = errno;

    put(&message, "workload: ");
    put(&message, name);
    put(&message, what);
    if (error != 0) {
        put(&message, ": ");
        put(&message, strerror(error));
    }
    finish_message("");
    _exit(status);
}

/* ---- memory of its own -------------------------------------------------------------------------------------- */

/*
 * Where mmap puts nothing by itself. The address is a wish: a machine that has no such place gives another, and all
 * goes on as well, only less like a program that does nothing else.
 */
static uintptr_t own_place = (uintptr_t)(UINT64_C(1) << 44);

static void *own_region(size_t bytes, int flags)
{
    void *region = mmap((void *)own_place, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

    if (region == MAP_FAILED)
        trouble(file_name, ": no memory for so long a workload", EXIT_MACHINE);
    own_place += page_up(bytes) + (UINT64_C(1) << 32);
    return region;
}

enum { KEEP = MAP_SHARED | MAP_POPULATE, TEMPORARY = MAP_PRIVATE | MAP_NORESERVE };

static void write_back(uintptr_t start, uintptr_t end)
{
    for (uintptr_t at = start; at < end; at = page_down(at) + page_size)
        *(volatile char *)at = *(volatile char *)at;
}

static void read_over(uintptr_t start, uintptr_t end)
{
    for (uintptr_t at = start; at < end; at = page_down(at) + page_size)
        (void)*(volatile char *)at;
}

/* What program, libraries and this thread's variables occupy; noted once. */
static struct segment { uintptr_t start, end; int is_written; } segments[256];
static size_t segments_count;

static void note_segment(uintptr_t start, uintptr_t end, int is_written)
{
    if (start < end && segments_count < sizeof segments / sizeof *segments)
        segments[segments_count++] = (struct segment){ start, end, is_written };
}

static int note_object(struct dl_phdr_info *info, size_t size, void *unused)
{
    uintptr_t base = (uintptr_t)info->dlpi_addr;
    uintptr_t fixed_start = 0, fixed_end = 0;

    (void)unused;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];

        if (header->p_type == PT_GNU_RELRO) {   /* written by the dynamic linker, then made read-only */
            fixed_start = page_down(base + header->p_vaddr);
            fixed_end = page_down(base + header->p_vaddr + header->p_memsz);
        }
        if (header->p_type == PT_TLS && size >= offsetof(struct dl_phdr_info, dlpi_tls_data) + sizeof(void *) &&
            info->dlpi_tls_data != NULL)
            note_segment((uintptr_t)info->dlpi_tls_data, (uintptr_t)info->dlpi_tls_data + header->p_memsz, 1);
    }
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t start = base + header->p_vaddr;
        uintptr_t end = start + header->p_memsz;

        if (header->p_type != PT_LOAD || !(header->p_flags & PF_R))
            continue;
        if (!(header->p_flags & PF_W) || fixed_end <= start || fixed_start >= end) {
            note_segment(start, end, (header->p_flags & PF_W) != 0);
            continue;
        }
        note_segment(start, fixed_start, 1);
        note_segment(fixed_start > start ? fixed_start : start, fixed_end < end ? fixed_end : end, 0);
        note_segment(fixed_end, end, 1);
    }
    return 0;
}

/*
 * What the C library keeps of a thread, and the part of it that the kernel writes to whenever it has taken the
 * processor away (rseq(2)): copied by then or not, that is for no operation to see.
 */
extern const ptrdiff_t __rseq_offset __attribute__((weak));

static uintptr_t thread_pointer(void)
{
#ifdef __x86_64__
    return (uintptr_t)pthread_self();           /* the same there, and known to older compilers */
#else
    return (uintptr_t)__builtin_thread_pointer();
#endif
}

static void note_thread(void)
{
    uintptr_t self = (uintptr_t)pthread_self();

    note_segment(self, self + 256, 1);
    note_segment((uintptr_t)&errno, (uintptr_t)&errno + sizeof errno, 1);
    if (&__rseq_offset != NULL) {
        uintptr_t area = thread_pointer() + (uintptr_t)__rseq_offset;

        note_segment(area, area + 32, 1);
    }
}

/*
 * Have every page that this program and its libraries may use in memory, and as this process's own: the first time
 * the pages come in, after a fork those that are written get copied or, in the last owner, become writable again. A
 * child also finds no page of code in its page table, as the kernel leaves it to faults to bring them back.
 */
static void settle(void)
{
    for (size_t i = 0; i < segments_count; i++) {
        if (segments[i].is_written)
            write_back(segments[i].start, segments[i].end);
        else
            read_over(segments[i].start, segments[i].end);
    }
    write_back(stack_low, stack_top);
}

/* The same for a child's part of the shared operations: its own ones, and those that made the pieces they name. */
static void settle_operations(uint32_t first, uint32_t last)
{
    uint32_t end = last < operations_count ? last + 1 : operations_count;

    write_back((uintptr_t)&operations[first], (uintptr_t)&operations[end]);
    for (uint32_t at = first; at < end; at++)
        if (operations[at].maker < first)
            (void)*(volatile uintptr_t *)&operations[operations[at].maker].piece.start;
}

/*
 * Take the stack that will be used, once: main's page and a fixed number below it, so that all runs use as many.
 * Above its frame main has no variables, and it never returns there.
 */
static void take_stack(uintptr_t frame)
{
    stack_top = page_down(frame) + page_size;
    stack_low = page_down(frame) - STACK_WINDOW;
    stack_next = stack_low;
    write_back(stack_low, stack_top);
}

/* ---- what operations do ------------------------------------------------------------------------------------- */

/* The accesses. Functions of their own, so that a fault in them is known by its place. */
static void write_pages(uintptr_t start, size_t length)
{
    uintptr_t end = start + length;

    for (uintptr_t at = start; at < end; at = (at | (page_size - 1)) + 1)
        *(volatile char *)at = 1;
}

static void read_pages(uintptr_t start, size_t length)
{
    uintptr_t end = start + length;

    for (uintptr_t at = start; at < end; at = (at | (page_size - 1)) + 1)
        (void)*(volatile char *)at;
}

/* Each takes the operation and, if it names one, the piece; each returns 0 or errno. */
typedef int action(struct operation *op, const struct piece *piece);

static int made(struct operation *op, void *address, size_t size)
{
    op->address = (uintptr_t)address;
    op->piece = (struct piece){ op->address, size };
    return address != NULL ? 0 : errno;
}

static int call_malloc(struct operation *op, const struct piece *piece)
{
    (void)piece;
    return made(op, malloc(op->numbers[0]), op->numbers[0]);
}

static int call_calloc(struct operation *op, const struct piece *piece)
{
    (void)piece;
    return made(op, calloc(op->numbers[0], op->numbers[1]), op->numbers[0] * op->numbers[1]);
}

static int call_memalign(struct operation *op, const struct piece *piece)
{
    (void)piece;
    return made(op, memalign(op->numbers[0], op->numbers[1]), op->numbers[1]);
}

static int call_realloc(struct operation *op, const struct piece *piece)
{
    void *address = realloc((void *)piece->start, op->numbers[0]);
    int error = made(op, address, op->numbers[0]);

    if (address == NULL)
        op->piece = *piece;                     /* the old piece is still there */
    return error;
}

static int call_free(struct operation *op, const struct piece *piece)
{
    (void)op;
    free((void *)piece->start);
    return 0;
}

static int map_memory(struct operation *op, int flags, int fd)
{
    void *address = mmap(NULL, op->numbers[0], PROT_READ | PROT_WRITE, flags, fd, 0);

    return made(op, address == MAP_FAILED ? NULL : address, op->numbers[0]);
}

static int map_private(struct operation *op, const struct piece *piece)
{
    (void)piece;
    return map_memory(op, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static int map_populated(struct operation *op, const struct piece *piece)
{
    (void)piece;
    return map_memory(op, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
}

static int map_shared(struct operation *op, const struct piece *piece)
{
    (void)piece;
    return map_memory(op, MAP_SHARED | MAP_ANONYMOUS, -1);
}

/* A file that no directory names. Not every file system can do that at once. */
static int open_unnamed(const char *directory)
{
    size_t length = strlen(directory);
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    for (unsigned attempt = 0; fd < 0 && attempt < 100 && length < sizeof path_buffer - 64; attempt++) {
        struct text path = { path_buffer, 0, sizeof path_buffer, -1 };

        put(&path, directory);
        put(&path, "/workload.");
        put_number(&path, (uint64_t)getpid(), 10);
        put(&path, ".");
        put_number(&path, attempt, 10);
        put_bytes(&path, "", 1);
        fd = open(path_buffer, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0)
            unlink(path_buffer);
        else if (errno != EEXIST)
            break;
    }
    return fd;
}

static int fill_file(int fd, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, filler, size < sizeof filler ? size : sizeof filler);

        if (written < 0 && errno != EINTR)
            return -1;
        size -= written > 0 ? (size_t)written : 0;
    }
    return 0;
}

static int map_file(struct operation *op, const struct piece *piece)
{
    const char *directory = getenv("TMPDIR");
    int fd = open_unnamed(directory != NULL && *directory != '\0' ? directory : "/tmp");
    int error;

    (void)piece;
    if (fd < 0)
        return errno;
    error = fill_file(fd, op->numbers[0]) == 0 ? map_memory(op, MAP_PRIVATE, fd) : errno;
    close(fd);
    return error;
}

static int take_below_stack(struct operation *op, const struct piece *piece)
{
    (void)piece;
    if (op->numbers[0] > stack_next - 2 * page_size) {
        errno = ENOMEM;
        return made(op, NULL, 0);
    }
    stack_next -= page_up(op->numbers[0]);
    return made(op, (void *)stack_next, op->numbers[0]);
}

static int unmap_memory(struct operation *op, const struct piece *piece)
{
    (void)op;
    return piece->start == 0 || munmap((void *)piece->start, piece->size) == 0 ? 0 : errno;
}

/* The pages that lie in the piece as a whole; of a mapping and on the stack, all that belong to it. */
static struct piece whole_pages(const struct operation *op, const struct piece *piece)
{
    int is_malloced = operations[op->maker].kind <= REALLOC;
    uintptr_t end = piece->start + piece->size;
    struct piece pages = { page_up(piece->start), 0 };

    end = is_malloced ? page_down(end) : page_up(end);
    if (piece->start != 0 && end > pages.start)
        pages.size = end - pages.start;
    return pages;
}

static int protect_pages(const struct operation *op, const struct piece *piece, int access)
{
    struct piece pages = whole_pages(op, piece);

    return pages.size == 0 || mprotect((void *)pages.start, pages.size, access) == 0 ? 0 : errno;
}

static int advise_pages(const struct operation *op, const struct piece *piece, int advice)
{
    struct piece pages = whole_pages(op, piece);

    return pages.size == 0 || madvise((void *)pages.start, pages.size, advice) == 0 ? 0 : errno;
}

static int lock_pages(struct operation *op, const struct piece *piece)
{
    struct piece pages = whole_pages(op, piece);

    return pages.size == 0 || mlock((void *)pages.start, pages.size) == 0 ? 0 : errno;
}

static int unlock_pages(struct operation *op, const struct piece *piece)
{
    struct piece pages = whole_pages(op, piece);

    return pages.size == 0 || munlock((void *)pages.start, pages.size) == 0 ? 0 : errno;
}

static int make_readonly(struct operation *op, const struct piece *piece)
{
    return protect_pages(op, piece, PROT_READ);
}

static int make_noaccess(struct operation *op, const struct piece *piece)
{
    return protect_pages(op, piece, PROT_NONE);
}

static int make_writable(struct operation *op, const struct piece *piece)
{
    return protect_pages(op, piece, PROT_READ | PROT_WRITE);
}

static int advise_dontneed(struct operation *op, const struct piece *piece)
{
    return advise_pages(op, piece, MADV_DONTNEED);
}

static int advise_free(struct operation *op, const struct piece *piece)
{
    return advise_pages(op, piece, MADV_FREE);
}

static int advise_hugepage(struct operation *op, const struct piece *piece)
{
    return advise_pages(op, piece, MADV_HUGEPAGE);
}

static int advise_nohugepage(struct operation *op, const struct piece *piece)
{
    return advise_pages(op, piece, MADV_NOHUGEPAGE);
}

static size_t access_length(const struct operation *op)
{
    return op->numbers[1] != 0 ? op->numbers[1] : 1;
}

static int touch_memory(struct operation *op, const struct piece *piece)
{
    write_pages(piece->start + op->numbers[0], access_length(op));
    return 0;
}

static int read_memory(struct operation *op, const struct piece *piece)
{
    read_pages(piece->start + op->numbers[0], access_length(op));
    return 0;
}

/* ---- the language ------------------------------------------------------------------------------------------- */

#define IF(use) (1u << (use))
#define FREE_NAME (IF(UNUSED) | IF(UNMAPPED))
#define HELD (IF(FROM_MALLOC) | IF(FROM_MMAP) | IF(ON_STACK))
#define ACCESSIBLE (HELD | IF(UNMAPPED))

static const struct form {
    const char *word, *rest;                    /* the operation, the words that follow it */
    unsigned least, most;                       /* how many these are */
    const char *roles[2];                       /* what the numbers among them are */
    unsigned wants;                             /* what the name may stand for before it */
    enum use makes;                             /* what the name stands for after it */
    action *act;
} forms[KINDS] = {
    [MALLOC]      = { "malloc", "NAME SIZE", 2, 2, { "size" }, FREE_NAME, FROM_MALLOC, call_malloc },
    [CALLOC]      = { "calloc", "NAME COUNT SIZE", 3, 3, { "count", "size" }, FREE_NAME, FROM_MALLOC, call_calloc },
    [MEMALIGN]    = { "memalign", "NAME ALIGNMENT SIZE", 3, 3, { "alignment", "size" }, FREE_NAME, FROM_MALLOC,
                      call_memalign },
    [REALLOC]     = { "realloc", "NAME SIZE", 2, 2, { "size" }, IF(FROM_MALLOC), FROM_MALLOC, call_realloc },
    [TOUCH]       = { "touch", "NAME OFFSET? LENGTH?", 1, 3, { "offset", "length" }, ACCESSIBLE, KEPT, touch_memory },
    [READ]        = { "read", "NAME OFFSET? LENGTH?", 1, 3, { "offset", "length" }, ACCESSIBLE, KEPT, read_memory },
    [MAP]         = { "map", "NAME SIZE", 2, 2, { "size" }, FREE_NAME, FROM_MMAP, map_private },
    [POPULATE]    = { "populate", "NAME SIZE", 2, 2, { "size" }, FREE_NAME, FROM_MMAP, map_populated },
    [SHARED]      = { "shared", "NAME SIZE", 2, 2, { "size" }, FREE_NAME, FROM_MMAP, map_shared },
    [MAPPED_FILE] = { "file", "NAME SIZE", 2, 2, { "size" }, FREE_NAME, FROM_MMAP, map_file },
    [STACK]       = { "stack", "NAME SIZE", 2, 2, { "size" }, FREE_NAME, ON_STACK, take_below_stack },
    [FREE]        = { "free", "NAME", 1, 1, { NULL }, IF(FROM_MALLOC), UNUSED, call_free },
    [UNMAP]       = { "unmap", "NAME", 1, 1, { NULL }, IF(FROM_MMAP), UNMAPPED, unmap_memory },
    [READONLY]    = { "readonly", "NAME", 1, 1, { NULL }, HELD, KEPT, make_readonly },
    [NOACCESS]    = { "noaccess", "NAME", 1, 1, { NULL }, HELD, KEPT, make_noaccess },
    [WRITABLE]    = { "writable", "NAME", 1, 1, { NULL }, HELD, KEPT, make_writable },
    [LOCK]        = { "lock", "NAME", 1, 1, { NULL }, HELD, KEPT, lock_pages },
    [UNLOCK]      = { "unlock", "NAME", 1, 1, { NULL }, HELD, KEPT, unlock_pages },
    [DONTNEED]    = { "dontneed", "NAME", 1, 1, { NULL }, HELD, KEPT, advise_dontneed },
    [LAZYFREE]    = { "lazyfree", "NAME", 1, 1, { NULL }, HELD, KEPT, advise_free },
    [HUGEPAGE]    = { "hugepage", "NAME", 1, 1, { NULL }, HELD, KEPT, advise_hugepage },
    [NOHUGEPAGE]  = { "nohugepage", "NAME", 1, 1, { NULL }, HELD, KEPT, advise_nohugepage },
    [FORK]        = { "fork", "", 0, 0, { NULL }, 0, KEPT, NULL },
    [EXIT]        = { "exit", "", 0, 0, { NULL }, 0, KEPT, NULL },
};

struct word { const char *start; size_t length, column; };

/* A line, its number and its first words; words_count tells of all. */
struct line { const char *start; size_t length; uint32_t number; struct word words[WORDS_MOST]; size_t words_count; };

/* What a name stands for at this place of the text. */
struct meaning { enum use use; uint32_t maker; size_t size; };
struct name { const char *start; size_t length; struct meaning meaning; };

/* Needed while the text is checked, gone before the first operation. */
static struct name *names;
static uint32_t names_count;
static uint32_t *names_index;                   /* hash table: 1 + number of a name, or 0 */
static size_t names_mask;
static struct undo { uint32_t name; struct meaning before; } *undo;
static size_t undo_count;
static struct opened { uint32_t fork; size_t undone; } *opened;
static uint32_t depth;

/* Those of ASCII that Python's str.split() takes for blanks too. */
static int is_blank(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r') || (byte >= 0x1c && byte <= 0x1f);
}

static int is_letter(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
}

static int digit_value(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : 16;
}

static struct text *at_word(const struct line *line, const struct word *word)
{
    return at_line(line->number, word->column);
}

/* Returns whether *word* is written as a number; *value* is UINT64_MAX if it is too large for that. */
static int read_number(const struct word *word, uint64_t *value)
{
    size_t at = word->length > 2 && word->start[0] == '0' && (word->start[1] | 0x20) == 'x' ? 2 : 0;
    unsigned base = at != 0 ? 16 : 10;
    size_t first = at;
    int is_large = 0;

    *value = 0;
    while (at < word->length && digit_value(word->start[at]) < (int)base) {
        is_large |= __builtin_mul_overflow(*value, (uint64_t)base, value);
        is_large |= __builtin_add_overflow(*value, (uint64_t)digit_value(word->start[at]), value);
        at++;
    }
    if (at == first || at - first > (base == 16 ? 16 : 20))
        return 0;
    if (at < word->length) {
        const char *unit = memchr("KMG", word->start[at], 3);

        if (unit == NULL)
            return 0;
        at++;
        is_large |= __builtin_mul_overflow(*value, UINT64_C(1) << (*unit == 'K' ? 10 : *unit == 'M' ? 20 : 30), value);
    }
    if (is_large)
        *value = UINT64_MAX;
    return at == word->length;
}

static uint64_t take_number(const struct line *line, const struct word *word, const char *role)
{
    uint64_t value;

    if (!read_number(word, &value)) {
        put_quoted(at_word(line, word), word->start, word->length);
        put(&message, " is not a ");
        put(&message, role);
        wrong_workload("; a number such as 100, 0x64, 4K or 2M");
    }
    if (value > INT64_MAX) {
        put(at_word(line, word), role);
        put(&message, " ");
        put_bytes(&message, word->start, word->length);
        wrong_workload(" is larger than any object; at most 9223372036854775807");
    }
    return value;
}

static void split_words(struct line *line)
{
    size_t at = 0;

    line->words_count = 0;
    for (;;) {
        struct word word;

        while (at < line->length && is_blank(line->start[at]))
            at++;
        if (at == line->length || line->start[at] == '#')
            return;
        word = (struct word){ line->start + at, 0, at + 1 };
        while (at < line->length && !is_blank(line->start[at]) && line->start[at] != '#')
            at++;
        word.length = (size_t)(line->start + at - word.start);
        if (line->words_count < WORDS_MOST)
            line->words[line->words_count] = word;
        line->words_count++;
    }
}

static enum kind take_kind(const struct line *line)
{
    const struct word *word = &line->words[0];

    for (unsigned kind = 0; kind < KINDS; kind++)
        if (strlen(forms[kind].word) == word->length && memcmp(forms[kind].word, word->start, word->length) == 0)
            return (enum kind)kind;
    put_quoted(at_word(line, word), word->start, word->length);
    put(&message, " is no operation; one of ");
    for (unsigned kind = 0; kind < KINDS; kind++) {
        put(&message, kind > 0 ? ", " : "");
        put(&message, forms[kind].word);
    }
    wrong_workload("");
}

static void check_words_count(const struct line *line, const struct form *form)
{
    size_t rest = line->words_count - 1;
    size_t column = line->length;

    if (rest >= form->least && rest <= form->most)
        return;
    while (column > 0 && is_blank(line->start[column - 1]))
        column--;
    put(at_line(line->number, rest > form->most ? line->words[form->most + 1].column : column + 1), form->word);
    put(&message, " with ");
    put_number(&message, rest, 10);
    put(&message, " words after it; ");
    put(&message, form->word);
    put(&message, *form->rest != '\0' ? " " : "");
    wrong_workload(form->rest);
}

static uint32_t find_name(const struct line *line, const struct word *word)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    int is_name = is_letter(word->start[0]);

    for (size_t i = 0; i < word->length; i++) {
        is_name &= is_letter(word->start[i]) || (word->start[i] >= '0' && word->start[i] <= '9');
        hash = (hash ^ (unsigned char)word->start[i]) * UINT64_C(0x100000001b3);
    }
    if (!is_name) {
        put_quoted(at_word(line, word), word->start, word->length);
        wrong_workload(" is no name; letters, digits and _");
    }
    for (size_t at = (hash ^ hash >> 29) & names_mask; ; at = (at + 1) & names_mask) {
        if (names_index[at] == 0) {
            names[names_count] = (struct name){ word->start, word->length, { UNUSED, NOBODY, 0 } };
            names_index[at] = ++names_count;
        }
        struct name *name = &names[names_index[at] - 1];
        if (name->length == word->length && memcmp(name->start, word->start, word->length) == 0)
            return names_index[at] - 1;
    }
}

/* "KIND NAME: WHAT", at the name. */
static _Noreturn void wrong_use(const struct line *line, const char *what)
{
    const struct word *word = &line->words[1];

    put_bytes(at_word(line, word), line->words[0].start, line->words[0].length);
    put(&message, " ");
    put_bytes(&message, word->start, word->length);
    put(&message, ": ");
    wrong_workload(what);
}

static void check_use(const struct line *line, const struct form *form, const struct name *name)
{
    static const char *const instead[] = {
        [FROM_MALLOC] = " is in use; a free before it", [FROM_MMAP] = " is in use; an unmap before it",
        [ON_STACK] = " is in use; another name, as the stack is never given back",
    };
    enum use use = name->meaning.use;

    if (form->wants & IF(use))
        return;
    if (form->wants == FREE_NAME) {
        put_bytes(at_word(line, &line->words[1]), name->start, name->length);
        wrong_workload(instead[use]);
    }
    if (form->wants == IF(FROM_MALLOC))
        wrong_use(line, use == UNUSED ? "no piece of that name is allocated; a malloc before it"
                                      : "that is no piece from malloc; the name of one");
    if (form->wants == IF(FROM_MMAP))
        wrong_use(line, use == UNUSED ? "nothing of that name is mapped; a map before it"
                                      : "that is no mapping; the name of one");
    wrong_use(line, use == UNMAPPED ? "it is unmapped; a map before it"
                                    : "no piece of that name is allocated; a malloc or a map before it");
}

static void check_access(const struct line *line, const struct operation *op, size_t size)
{
    uint64_t last = op->numbers[0] + access_length(op) - 1;

    if (last < size)
        return;
    const struct word *word = &line->words[line->words_count > 2 ? 2 : 1];
    put_bytes(at_word(line, word), line->words[0].start, line->words[0].length);
    put(&message, " ");
    put_bytes(&message, line->words[1].start, line->words[1].length);
    put(&message, ": byte ");
    put_number(&message, last, 10);
    put(&message, " lies outside its ");
    put_number(&message, size, 10);
    wrong_workload(" bytes; a place in the piece");
}

static void check_numbers(const struct line *line, const struct operation *op)
{
    if (op->kind == REALLOC && op->numbers[0] == 0) {
        put(at_word(line, &line->words[2]), "realloc to 0 bytes");
        wrong_workload("; a size of at least 1, or free");
    }
    if (op->kind == MEMALIGN && (op->numbers[0] & (op->numbers[0] - 1) || op->numbers[0] == 0)) {
        put(at_word(line, &line->words[2]), "alignment ");
        put_number(&message, op->numbers[0], 10);
        wrong_workload(" is no power of two; one of 1, 2, 4, 8 and so on");
    }
}

/* How many bytes the piece has that this operation makes. */
static size_t size_made(const struct operation *op)
{
    uint64_t size;

    if (op->kind != CALLOC)
        return op->numbers[op->kind == MEMALIGN];
    return __builtin_mul_overflow(op->numbers[0], op->numbers[1], &size) ? SIZE_MAX : size;
}

static void use_name(const struct line *line, const struct form *form, uint32_t index, uint32_t number)
{
    struct operation *op = &operations[index];
    struct name *name = &names[number];

    check_use(line, form, name);
    op->maker = name->meaning.maker;
    if (op->kind == TOUCH || op->kind == READ)
        check_access(line, op, name->meaning.size);
    if (form->makes == KEPT)
        return;
    if (depth > 0)
        undo[undo_count++] = (struct undo){ number, name->meaning };
    name->meaning.use = form->makes;
    if (form->makes != UNUSED && form->makes != UNMAPPED) {
        name->meaning.maker = index;
        name->meaning.size = size_made(op);
    }
}

/* The end of a child's operations: to the parent the names mean what they meant at the fork. */
static void close_fork(uint32_t partner)
{
    const struct opened *last = &opened[--depth];

    operations[last->fork].partner = partner;
    while (undo_count > last->undone) {
        undo_count--;
        names[undo[undo_count].name].meaning = undo[undo_count].before;
    }
}

static void check_operation(const struct line *line, uint32_t index)
{
    struct operation *op = &operations[index];
    const struct form *form;
    uint32_t name = 0;

    op->kind = (uint8_t)take_kind(line);
    form = &forms[op->kind];
    check_words_count(line, form);
    op->line = line->number;
    op->depth = depth;
    op->maker = NOBODY;
    op->numbers[1] = op->kind == TOUCH || op->kind == READ;
    if (form->most > 0)
        name = find_name(line, &line->words[1]);
    for (size_t i = 0; i + 2 < line->words_count; i++)
        op->numbers[i] = take_number(line, &line->words[i + 2], form->roles[i]);
    check_numbers(line, op);

    if (op->kind == FORK)
        opened[depth++] = (struct opened){ index, undo_count };
    else if (op->kind == EXIT && depth == 0) {
        at_word(line, &line->words[0]);
        wrong_workload("exit without a fork before it; a fork");
    } else if (op->kind == EXIT)
        close_fork(index);
    else
        use_name(line, form, index, name);
}

static void check_plain(const struct line *line, size_t with_newline)
{
    if (with_newline > LONGEST_LINE) {
        at_line(line->number, 0);
        wrong_workload("longer than 4096 bytes; this is not a workload");
    }
    for (size_t i = 0; i < line->length; i++)
        if (line->start[i] & 0x80) {
            at_line(line->number, i + 1);
            wrong_workload("not plain text; this is not a workload");
        }
}

/* Cut the next line off the text; returns whether there was one. */
static int next_line(const char **text, const char *end, struct line *line)
{
    const char *newline;

    if (*text == end)
        return 0;
    newline = memchr(*text, '\n', (size_t)(end - *text));
    line->start = *text;
    line->length = (size_t)((newline != NULL ? newline : end) - *text);
    line->number++;
    *text = newline != NULL ? newline + 1 : end;
    return 1;
}

static uint32_t count_operations(const char *text, const char *end)
{
    struct line line = { .number = 0 };
    uint32_t count = 0;

    while (next_line(&text, end, &line)) {
        size_t at = 0;

        while (at < line.length && is_blank(line.start[at]))
            at++;
        count += at < line.length && line.start[at] != '#';
    }
    return count;
}

static void check_text(const char *text, const char *end)
{
    struct line line = { .number = 0 };
    uint32_t index = 0;

    for (const char *start = text; next_line(&text, end, &line); start = text) {
        check_plain(&line, (size_t)(text - start));
        split_words(&line);
        if (line.words_count > 0)
            check_operation(&line, index++);
    }
    while (depth > 0)
        close_fork(operations_count);
}

/* The whole file, and room for a byte more. */
static char *read_text(size_t *length, size_t *size)
{
    int fd = open(file_name, O_RDONLY | O_CLOEXEC);
    struct stat status;
    char *text;

    if (fd < 0 || fstat(fd, &status) != 0)
        trouble(file_name, "", EXIT_WORKLOAD);
    *size = page_up((size_t)status.st_size + (64 << 10));
    *length = 0;
    text = own_region(*size, TEMPORARY);
    for (;;) {
        ssize_t got = read(fd, text + *length, *size - *length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            trouble(file_name, "", EXIT_WORKLOAD);
        if (got == 0)
            break;
        *length += (size_t)got;
        if (*length == *size) {                 /* a pipe, or a file that grew */
            text = mremap(text, *size, *size * 2, MREMAP_MAYMOVE);
            if (text == MAP_FAILED)
                trouble(file_name, ": no memory for so long a workload", EXIT_MACHINE);
            *size *= 2;
        }
    }
    close(fd);
    return text;
}

static void read_workload(void)
{
    size_t length, size, room;
    char *text = read_text(&length, &size);
    char *tables;

    if (length >= NOBODY)
        trouble(file_name, ": a workload of 4 GiB or more", EXIT_WORKLOAD);
    operations_count = count_operations(text, text + length);
    room = (size_t)operations_count + 1;
    operations = own_region(room * sizeof *operations, KEEP);
    write_back((uintptr_t)operations, (uintptr_t)(operations + room));
    report.size = room * LINE_MOST < REPORT_MOST ? page_up(room * LINE_MOST) : REPORT_MOST;
    report.bytes = own_region(report.size, KEEP);
    write_back((uintptr_t)report.bytes, (uintptr_t)report.bytes + report.size);

    for (names_mask = 1; names_mask < 2 * room; names_mask *= 2)
        ;
    tables = own_region(names_mask * sizeof *names_index + room * (sizeof *names + sizeof *undo + sizeof *opened),
                        TEMPORARY);
    names = (struct name *)tables;
    undo = (struct undo *)(names + room);
    opened = (struct opened *)(undo + room);
    names_index = (uint32_t *)(opened + room);
    size_t tables_size = (size_t)((char *)(names_index + names_mask) - tables);
    names_mask--;
    check_text(text, text + length);
    munmap(tables, tables_size);
    munmap(text, size);
}

/* ---- the report --------------------------------------------------------------------------------------------- */

static void put_field(uint64_t value, unsigned base)
{
    put(&report, base == 16 ? " 0x" : " ");
    put_number(&report, value, base);
}

static void put_operation(uint32_t index)
{
    const struct operation *op = &operations[index];
    int is_done = op->state == DONE;

    put(&report, is_done ? "op" : "died");
    put_field(index, 10);
    put_field(op->line, 10);
    put_field(op->depth, 10);
    put_field(is_done ? op->address : 0, 16);
    put_field(is_done ? op->minflt : 0, 10);
    put_field(is_done ? op->majflt : 0, 10);
    put_field(is_done ? (uint64_t)op->error : 0, 10);
    put(&report, "\n");
}

static void write_report(const char *end, uint64_t number)
{
    uint32_t lines = 0;

    for (uint32_t index = 0; index < operations_count; index++) {
        const struct operation *op = &operations[index];

        if (op->state == DONE || (op->state == BEGUN && op->depth > 0)) {
            put_operation(index);
            lines++;
        }
    }
    put(&report, end);
    put_field(number == NOBODY ? lines : number, 10);
    put(&report, "\n");
    flush(&report);
}

/* ---- the run ------------------------------------------------------------------------------------------------ */

/*
 * A forbidden access. The main process tells what was done up to here. Then the access is made once more, with
 * nobody to catch it, and the process dies as it would have died of the first: same signal, code and address.
 */
static void on_fatal_signal(int number)
{
    signal(number, SIG_DFL);
    if (operations[current].depth == 0)
        write_report("died", current);
}

static void catch_fatal_signals(void)
{
    stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof signal_stack };
    struct sigaction caught = { .sa_handler = on_fatal_signal, .sa_flags = SA_ONSTACK };

    if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGSEGV, &caught, NULL) != 0 ||
        sigaction(SIGBUS, &caught, NULL) != 0)
        trouble("sigaltstack", "", EXIT_MACHINE);
}

static void mark(void)
{
    madvise(NULL, 0, MADV_NORMAL);
}

static struct rusage usage_before, usage_after;

static void begin(uint32_t index)
{
    current = index;
    operations[index].state = BEGUN;
    errno = 0;
    getrusage(RUSAGE_SELF, &usage_before);
}

static void end(uint32_t index, int error)
{
    struct operation *op = &operations[index];

    getrusage(RUSAGE_SELF, &usage_after);
    op->minflt = (uint32_t)(usage_after.ru_minflt - usage_before.ru_minflt);
    op->majflt = (uint32_t)(usage_after.ru_majflt - usage_before.ru_majflt);
    op->error = error;
    op->state = DONE;
}

/* Whether the operation would reach memory that was asked for but not granted. */
static int lacks_memory(const struct operation *op, const struct piece *piece)
{
    return (op->kind == TOUCH || op->kind == READ) &&
           (piece->start == 0 || op->numbers[0] + access_length(op) > piece->size);
}

static int perform(uint32_t index)
{
    struct operation *op = &operations[index];
    const struct piece *piece = op->maker != NOBODY ? &operations[op->maker].piece : NULL;
    int error;

    if (piece != NULL && lacks_memory(op, piece)) {
        op->state = STOPPED;
        return 0;
    }
    begin(index);
    error = forms[op->kind].act(op, piece);
    end(index, error);
    return 1;
}

/* Returns what this process does next: the child the operation after the fork, the parent the one after the exit. */
static uint32_t divide(uint32_t index, int *goes_on)
{
    uint32_t partner = operations[index].partner;
    int status = 0, error;
    pid_t child;

    begin(index);
    child = fork();
    error = child < 0 ? errno : 0;
    if (child == 0) {
        depth++;
        settle();
        settle_operations(index, partner);
        return index + 1;
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    settle();
    end(index, error);
    *goes_on = !WIFEXITED(status) || WEXITSTATUS(status) == 0;
    return partner < operations_count ? partner + 1 : partner;
}

/* Returns, to the main process only, whether the run came to its end. */
static int run(void)
{
    uint32_t index = 0;
    int goes_on = 1;

    depth = 0;
    while (goes_on && index < operations_count) {
        enum kind kind = operations[index].kind;

        if (kind == FORK) {
            index = divide(index, &goes_on);
        } else if (kind == EXIT) {
            begin(index);
            end(index, 0);
            _exit(0);
        } else {
            goes_on = perform(index++);
        }
    }
    if (depth > 0)
        _exit(goes_on ? 0 : EXIT_WORKLOAD);
    return goes_on;
}

static _Noreturn void tell_stopped(void)
{
    uint32_t index = 0;

    while (index + 1 < operations_count && operations[index].state != STOPPED)
        index++;
    write_report("stopped", index);
    at_line(operations[index].line, 0);
    wrong_workload("an access to a piece that was not granted; memory enough for it");
}

static void rehearse(void)
{
    write_pages((uintptr_t)scratch, sizeof scratch);
    read_pages((uintptr_t)scratch, sizeof scratch);
    getrusage(RUSAGE_SELF, &usage_before);
    settle();
}

static void take_arguments(int count, char **words)
{
    const char *report_name = NULL;
    int option;

    opterr = 0;
    while ((option = getopt(count, words, "o:")) == 'o')
        report_name = optarg;
    if (option != -1 || optind + 1 != count) {
        put(&message, "workload: usage: workload [-o REPORT] FILE");
        wrong_workload("");
    }
    file_name = words[optind];
    if (report_name != NULL) {
        report.fd = open(report_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (report.fd < 0)
            trouble(report_name, "", EXIT_MACHINE);
    }
}

int main(int argc, char **argv)
{
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    take_arguments(argc, argv);
    take_stack((uintptr_t)__builtin_frame_address(0));
    read_workload();
    dl_iterate_phdr(note_object, NULL);
    note_thread();
    catch_fatal_signals();
    rehearse();

    mark();
    int is_complete = run();
    mark();
    if (!is_complete)
        tell_stopped();
    write_report("end", NOBODY);
    _exit(0);
}
