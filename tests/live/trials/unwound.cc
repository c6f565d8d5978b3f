// What unwinds through an allocator's functions: exceptions, and a backtrace out of a signal handler.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <execinfo.h>
#include <new>
#include <sys/time.h>
#include <vector>

struct Witness {
	~Witness() { std::puts("unwound"); }
};

static void refuse(size_t size)
{
	for (int i = 0; i < 3; i++)
		try {
			Witness witness;
			volatile char *piece = static_cast<char *>(operator new(size));
			std::printf("got %d\n", piece != nullptr);
		} catch (const std::bad_alloc &) {
			std::puts("caught");
		}
	std::vector<int> alive(1000, 7);
	std::printf("goes on %d\n", alive[999]);
}

static volatile int seen_main, taken;
static void *frames[64];

static void profile(int)
{
	int depth = backtrace(frames, 64);
	taken++;
	for (int i = 0; i < depth; i++)
		seen_main += static_cast<char *>(frames[i]) >= reinterpret_cast<char *>(&refuse) - 65536 && static_cast<char *>(frames[i]) < reinterpret_cast<char *>(&refuse) + 65536;
}

int main(int count, char **word)
{
	const char *how = word[count - 1];

	if (!std::strcmp(how, "throw"))
		refuse(size_t(1) << 60);
	if (!std::strcmp(how, "profile")) {
		struct itimerval often = { { 0, 900 }, { 0, 900 } };
		backtrace(frames, 64); // loads the unwinder
		signal(SIGALRM, profile);
		setitimer(ITIMER_REAL, &often, nullptr);
		while (taken < 40)
			free(malloc(taken + 100));
		often.it_value.tv_usec = 0;
		setitimer(ITIMER_REAL, &often, nullptr);
		// The handler's own frame is one of the program; another must be main's, below the allocator.
		std::printf("every backtrace reaches main: %d\n", seen_main >= 2 * taken);
	}
	std::puts("end");
}
