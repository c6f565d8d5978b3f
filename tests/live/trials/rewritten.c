/* Programs that discard, restore, patch or copy the code of malloc: 10 calls before, 100 after. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
static long hooked;
static void *(*original)(size_t);
static void *(*volatile asked)(size_t);

static void *counted(size_t size)
{
	hooked++;
	return original(size);
}

static unsigned char *page_of(void *code) { return (unsigned char *)((uintptr_t)code & ~(PAGE - 1)); }

/* The bytes that the file has at *code*, found by the line of maps that holds it. */
static void read_file(void *code, unsigned char *bytes, int length)
{
	unsigned long start, end, offset;
	char line[600], path[500];
	FILE *maps = fopen("/proc/self/maps", "r");

	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %499s", &start, &end, &offset, path) == 4 && (uintptr_t)code >= start
		    && (uintptr_t)code < end) {
			int file = open(path, O_RDONLY);
			if (pread(file, bytes, length, offset + (uintptr_t)code - start) != length)
				exit(9);
			close(file);
		}
	fclose(maps);
}

static void discard_all(void)
{
	unsigned long start[200], end[200], from, to;
	int many = 0;
	char line[600], rights[8], path[500];
	FILE *maps = fopen("/proc/self/maps", "r");

	while (fgets(line, sizeof line, maps) && many < 200)
		if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %499s", &from, &to, rights, path) == 4 && rights[2] == 'x' && path[0] == '/') {
			start[many] = from;
			end[many++] = to;
		}
	fclose(maps);
	for (int i = 0; i < many; i++)
		madvise((void *)start[i], end[i] - start[i], MADV_DONTNEED);
}

/* What hooking libraries do: malloc's first instructions moved to a page of their own, a jump in their place. */
static void hook(unsigned char *code)
{
	unsigned char *copy = MAP_FAILED;
	void *target = counted;

	for (long distance = -0x10000000; distance < 0 && copy == MAP_FAILED; distance += 0x100000)
		copy = mmap(page_of(code) + distance, PAGE, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	int moved = code[0] == 0xf3 ? 11 : 7; /* with endbr64, or push, push, push, mov */
	memcpy(copy, code, moved);
	copy[moved] = 0xe9;
	*(int *)(copy + moved + 1) = (int)((code + moved) - (copy + moved + 5));
	memcpy(copy + 64, "\x48\xb8", 2);
	memcpy(copy + 66, &target, 8);
	memcpy(copy + 74, "\xff\xe0", 2);
	original = (void *(*)(size_t))copy;
	mprotect(page_of(code), 2 * PAGE, 7);
	code[0] = 0xe9;
	*(int *)(code + 1) = (int)((copy + 64) - (code + 5));
	mprotect(page_of(code), 2 * PAGE, 5);
}

int main(int count, char **word)
{
	unsigned char *code, bytes[64];
	const char *how = word[count - 1];

	asked = malloc;
	for (int i = 0; i < 10; i++)
		free(asked(23));
	code = dlsym(RTLD_DEFAULT, "malloc");
	read_file(code, bytes, 64);
	if (!strcmp(how, "discard"))
		madvise(page_of(code), PAGE, MADV_DONTNEED);
	if (!strcmp(how, "discard all"))
		discard_all();
	if (!strcmp(how, "restore")) {
		mprotect(page_of(code), 2 * PAGE, 7);
		memcpy(code, bytes, 64);
		mprotect(page_of(code), 2 * PAGE, 5);
	}
	if (!strcmp(how, "through proc")) {
		int memory = open("/proc/self/mem", O_RDWR);
		if (pwrite(memory, bytes, 64, (off_t)(uintptr_t)code) != 64)
			return 8;
		close(memory);
	}
	if (!strcmp(how, "hook"))
		hook(code);
	for (int i = 0; i < 100; i++)
		free(asked(29));
	printf("done, hooked %ld\n", hooked);
	return 0;
}
