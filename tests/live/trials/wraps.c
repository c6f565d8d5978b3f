/*
 * wraps.c: functions of the family that are nothing but jumps into those of the C library: by a pointer, by name, behind
 * a moved argument. To be compiled with -O2.
 */
#include <stddef.h>
#include <stdio.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static void *(*volatile allocate)(size_t) = __libc_malloc;
__attribute__((used)) static void *(*volatile *volatile way)(size_t) = &allocate;

__attribute__((noipa)) void *malloc(size_t size) { return allocate(size); }
__attribute__((noipa)) void *calloc(size_t count, size_t size) { return __libc_calloc(count, size); }
__attribute__((noipa)) void *realloc(void *piece, size_t size) { return __libc_realloc(piece, size); }
__attribute__((noipa)) void *memalign(size_t alignment, size_t size) { (void)alignment; return __libc_malloc(size); }

void *valloc(size_t size);
#ifdef __x86_64__
/* The first instruction that a breakpoint can be put at is the last. */
__asm__(".globl valloc\n.type valloc, @function\nvalloc: mov way(%rip), %rax\nmov (%rax), %rax\njmp *%rax\n"
	".size valloc, .-valloc");
#else
__attribute__((noipa)) void *valloc(size_t size) { return (*way)(size); }
#endif

__attribute__((noipa)) void free(void *piece)
{
	if (piece)
		__libc_free(piece);
}

int main(void)
{
	for (int i = 0; i < 300; i++) {
		free(realloc(calloc(1, i + 1), 2 * i + 2));
		free(malloc(i + 3));
		free(memalign(16, i + 5));
		free(valloc(i + 7));
	}
	puts("wrapped");
	return 0;
}
