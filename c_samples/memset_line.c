/*
 * memset_line.c: the fault is in the library, the line is ours.
 *
 * concepts: virtual stdlib story
 *
 * See: memset, memcpy and strcpy of the C library touch fresh pages: the faulting instruction lies in the library,
 * the line that caused it is the one here that called. So for the copy of a struct, if the compiler makes it a call.
 *
 * Each number of faults is the growth of the piece's resident pages over its line.
 *
 * Facts: calls malloc_calls free_calls bytes_requested faults_memset faults_memcpy faults_strcpy
 *        faults_memset_struct faults_struct faults_program line_*
 */
#include "facts.h"
#include <string.h>

enum { SET = 127, COPY = 61, TEXT = 43, STRUCT = 47, PAGE = 4096 };

struct big { char bytes[STRUCT * PAGE]; };

int main(void)
{
    facts_begin();

    char *set = malloc(SET * PAGE);
    char *copy = malloc(COPY * PAGE);
    char *text = malloc(TEXT * PAGE);
    struct big *from = malloc(sizeof *from);
    struct big *to = malloc(sizeof *to);
    uint64_t set_before = resident_pages(set, SET * PAGE);
    uint64_t copy_before = resident_pages(copy, COPY * PAGE);
    uint64_t text_before = resident_pages(text, TEXT * PAGE);
    uint64_t from_before = resident_pages(from, sizeof *from);
    uint64_t to_before = resident_pages(to, sizeof *to);

    memset(set, 'x', SET * PAGE);                   FACT_LINE("memset");
    memcpy(copy, set, COPY * PAGE);                 FACT_LINE("memcpy");
    set[TEXT * PAGE - 1] = '\0';                    /* a string that fills its piece to the last byte */
    strcpy(text, set);                              FACT_LINE("strcpy");
    memset(from, 'y', sizeof *from);                FACT_LINE("memset_struct");
    *to = *from;                                    FACT_LINE("struct");

    uint64_t faults_set = resident_pages(set, SET * PAGE) - set_before;
    uint64_t faults_copy = resident_pages(copy, COPY * PAGE) - copy_before;
    uint64_t faults_text = resident_pages(text, TEXT * PAGE) - text_before;
    uint64_t faults_from = resident_pages(from, sizeof *from) - from_before;
    uint64_t faults_to = resident_pages(to, sizeof *to) - to_before;
    free(to);
    free(from);
    free(text);
    free(copy);
    free(set);

    fact_u64("malloc_calls", 5);
    fact_u64("free_calls", 5);
    fact_u64("calls", 10);
    fact_u64("bytes_requested", (SET + COPY + TEXT + 2 * STRUCT) * PAGE);
    fact_u64("faults_memset", faults_set);
    fact_u64("faults_memcpy", faults_copy);
    fact_u64("faults_strcpy", faults_text);
    fact_u64("faults_memset_struct", faults_from);
    fact_u64("faults_struct", faults_to);
    fact_u64("faults_program", faults_set + faults_copy + faults_text + faults_from + faults_to);
    facts_end();
    return 0;
}
