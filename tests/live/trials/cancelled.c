/* A thread is cancelled while it does nothing but allocate: its clean-up must run. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void clean(void *what) { printf("cleaned %s\n", (char *)what); }

static void *allocate_for_ever(void *unused)
{
	pthread_cleanup_push(clean, "up");
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;)
		free(malloc(23));
	pthread_cleanup_pop(0);
	return unused;
}

int main(void)
{
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, allocate_for_ever, NULL);
	usleep(30000);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	printf("cancelled %d\n", result == PTHREAD_CANCELED);
	return 0;
}
