/* One thread frees what the other made, and gets the same address by its next malloc; then the other way round.
 *
 * Suspicious: one address is freed and handed out by turns in two threads.
 *
 * expect rule none
 * expect sign nothing
 * expect ends exit 0
 */
#include <pthread.h>

#include "chunk.h"

enum { TURNS = 101 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t passed = PTHREAD_COND_INITIALIZER;
static void *piece;
static int turn, same[2];

static void *player(void *argument)
{
    int me = argument != NULL;

    for (int i = 0; i < TURNS; i++) {
        pthread_mutex_lock(&lock);
        while (turn != me)
            pthread_cond_wait(&passed, &lock);
        void *before = piece;
        free(piece);
        piece = malloc(104);
        same[me] += piece == before;
        turn = !me;
        pthread_cond_signal(&passed);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

int main(void)
{
    pthread_t other;

    piece = malloc(104);
    pthread_create(&other, NULL, player, &other);
    player(NULL);
    pthread_join(other, NULL);
    free(piece);
    fact("same_address", same[0] == TURNS && same[1] == TURNS);
    return 0;
}
