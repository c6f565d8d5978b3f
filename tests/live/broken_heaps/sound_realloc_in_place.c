/* A piece becomes shorter where it is; new pieces lie in what was its tail, and it grows again elsewhere.
 *
 * Suspicious: pieces at addresses that lay inside another one.
 *
 * expect rule none
 * expect sign nothing
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    char *whole = malloc(4000), *shorter, *tail, *other, *longer;

    malloc(24);
    shorter = realloc(whole, 500);
    tail = malloc(1500);
    other = malloc(1200);
    memset(tail, 't', 1500);
    memset(shorter, 's', 500);
    fact("in_its_tail", shorter == whole && tail > whole && other > tail && other < whole + 4000);
    longer = realloc(shorter, 5000);
    fact("kept", longer != whole && longer[499] == 's' && tail[0] == 't');
    free(tail);
    free(longer);
    free(other);
    return 0;
}
