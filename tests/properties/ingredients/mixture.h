/* A random program of many ingredients whose output depends on its arguments alone. See main.c. */
#ifndef MIXTURE_H
#define MIXTURE_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

/* Calls of malloc(MARKED) are counted: no other has that size. */
enum { PAGE = 4096, STACK = 256 << 10, MARKED = 10007 };

/* ---- chance and what is told (main.c) ---- */

struct chance {
	uint64_t state;
	uint64_t sum;	/* of all that was noted: what the output is made of */
};

struct chance chance_of(uint64_t seed);
uint64_t any(struct chance *c, uint64_t below);
void note(struct chance *c, uint64_t word);
/* A call that the trace must have once: counted in memory that children share. */
void mark(void);
/* Do so many random ingredients. */
void mixed(struct chance *c, int many);
/* End the program if something is not as it must be. */
#define must(what) ((what) ? (void)0 : broken(__FILE__, __LINE__, #what))
void broken(const char *file, int line, const char *what);
/* A number that does not depend on time, for the bytes at an offset of a piece. */
unsigned char byte_of(uint64_t key, size_t offset);

/* The program's name, its steps and its folder for files, as main was given them. */
extern const char *self, *folder;
extern int length;

/* ---- pieces of the heap (heap.c) ---- */

void churn(struct chance *c, int many);
void churn_for_ever(uint64_t seed);
void heap_churn(struct chance *c);
void heap_break(struct chance *c);
void heap_jump(struct chance *c);
void heap_turns(struct chance *c);

/* ---- threads (threads.c) ---- */

void threads_joined(struct chance *c);
void threads_beside_children(struct chance *c);
void threads_cancelled(struct chance *c);
void threads_detached(struct chance *c);
/* In a child of fork only the thread that called it goes on. */
void threads_forget(void);
/* End the process from a second thread, after the first has ended. */
void threads_end(int status);

/* ---- children (children.c) ---- */

void child_works(struct chance *c);
void child_killed(struct chance *c);
void child_ends_badly(struct chance *c);
void child_shares(struct chance *c);
void child_orphan(struct chance *c);
void child_runs_self(struct chance *c);

/* ---- signals (signals.c) ---- */

/* Where this thread is when a handler comes: it may allocate only in the first, jump only in the second. */
struct place {
	volatile int may_allocate, may_jump;
	sigjmp_buf out;
};
extern _Thread_local struct place here;

void signals_timer(struct chance *c);
void signals_stop(void);
void signals_spin(struct chance *c);
void signals_jump(struct chance *c);
void signals_raise(struct chance *c);
void signals_repair(struct chance *c);

/* ---- memory of the kernel (memory.c) ---- */

void memory_region(struct chance *c);
void memory_huge(struct chance *c);
void memory_locked(struct chance *c);
void memory_two_views(struct chance *c);
void memory_direct(struct chance *c);
void memory_carried(struct chance *c);

#endif
