/*
 * family.c: every function of the family, and the odd arguments.
 *
 * concepts: stdlib allocators
 *
 * See: one call of each function, each on its own line; then malloc(0), free(NULL), realloc(NULL, n), realloc(p, 0).
 * A function that calls another one inside the library (reallocarray calls realloc) is one call here: the outermost.
 *
 * Facts: calls, bytes_requested, NAME_calls for each function, aligned_N for each aligned request, malloc_zero_is_null
 *        realloc_zero_is_null usable_at_least line_*
 */
#include "facts.h"
#include <malloc.h>

int main(void)
{
    void *by_posix = NULL;

    facts_begin();

    char *plain = malloc(17);                       FACT_LINE("malloc");
    char *cleared = calloc(23, 29);                 FACT_LINE("calloc");
    plain = realloc(plain, 1009);                   FACT_LINE("realloc");
    cleared = reallocarray(cleared, 31, 37);        FACT_LINE("reallocarray");
    char *by_64 = memalign(64, 101);                FACT_LINE("memalign");
    char *by_128 = aligned_alloc(128, 256);         FACT_LINE("aligned_alloc");
    int failed = posix_memalign(&by_posix, 256, 103);               FACT_LINE("posix_memalign");
    char *by_page = valloc(107);                    FACT_LINE("valloc");
    char *whole_page = pvalloc(109);                FACT_LINE("pvalloc");
    size_t usable = malloc_usable_size(plain);      FACT_LINE("malloc_usable_size");

    char *nothing = malloc(0);                      FACT_LINE("malloc_zero");
    char *fresh = realloc(NULL, 113);               FACT_LINE("realloc_null");
    fact_u64("malloc_zero_is_null", nothing == NULL);
    fresh = realloc(fresh, 0);                      FACT_LINE("realloc_zero");
    fact_u64("realloc_zero_is_null", fresh == NULL);
    free(NULL);                                     FACT_LINE("free_null");

    fact_u64("usable_at_least", usable >= 1009);
    fact_u64("aligned_64", (uintptr_t)by_64 % 64 == 0);
    fact_u64("aligned_128", (uintptr_t)by_128 % 128 == 0);
    fact_u64("aligned_256", failed == 0 && (uintptr_t)by_posix % 256 == 0);
    fact_u64("aligned_page", (uintptr_t)by_page % page_size == 0 && (uintptr_t)whole_page % page_size == 0);

    free(plain);
    free(cleared);
    free(by_64);
    free(by_128);
    free(by_posix);
    free(by_page);
    free(whole_page);
    free(nothing);
    malloc_trim(0);                                 FACT_LINE("malloc_trim");

    fact_u64("malloc_calls", 2);
    fact_u64("calloc_calls", 1);
    fact_u64("realloc_calls", 3);
    fact_u64("reallocarray_calls", 1);
    fact_u64("memalign_calls", 1);
    fact_u64("aligned_alloc_calls", 1);
    fact_u64("posix_memalign_calls", 1);
    fact_u64("valloc_calls", 1);
    fact_u64("pvalloc_calls", 1);
    fact_u64("malloc_usable_size_calls", 1);
    fact_u64("malloc_trim_calls", 1);
    fact_u64("free_calls", 9);
    fact_u64("calls", 23);
    fact_u64("bytes_requested", 17 + 23 * 29 + 1009 + 31 * 37 + 101 + 256 + 103 + 107 + 109 + 0 + 113 + 0);
    facts_end();
    return 0;
}
