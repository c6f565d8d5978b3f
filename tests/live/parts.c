/* Three parts that allocate: `before`, `work` twice, `after`. What `before` made is given back by `work` and `after`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *kept[50];

static void before(void) {
    for (int i = 0; i < 50; i++)
        kept[i] = malloc(100 + i);
}

void work(void) {
    for (int i = 0; i < 25; i++) {
        free(kept[i]);
        kept[i] = NULL;
    }
    for (int i = 0; i < 40; i++) {
        char *piece = malloc(1000 + i);
        memset(piece, 1, 1000);
        if (i % 2)
            free(piece);
    }
}

static void after(void) {
    for (int i = 0; i < 30; i++)
        free(malloc(30)); /* the line that is reached */
    for (int i = 25; i < 50; i++)
        kept[i] = realloc(kept[i], 5000);
}

int main(void) {
    before();
    work();
    after();
    work();
    puts("done");
    return 3;
}
