/* Mounts a file system, runs a program from it, and takes it away again. It is one in memory ("memory"), or one that is
 * served by this program's first child (fuse(4)): "served", or "busy", where that one changes its mappings in the midst
 * of each answer.
 *
 * serves KIND FOLDER PROGRAM: prints the status of PROGRAM, run as FOLDER/program, and that of umount(2).
 * Status 77: the kernel does not let the user mount.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REQUEST = 1 << 18, FILE_NODE = 2, NOT_HERE = 77 };

static char *content;
static long length;

static void read_program(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat status;

	if (fd < 0 || fstat(fd, &status))
		exit(2);
	length = status.st_size;
	content = malloc(length);
	if (read(fd, content, length) != length)
		exit(2);
	close(fd);
}

static void describe(struct fuse_attr *attributes, unsigned long node)
{
	memset(attributes, 0, sizeof *attributes);
	attributes->ino = node;
	attributes->size = node == FILE_NODE ? length : 0;
	attributes->mode = node == FILE_NODE ? S_IFREG | 0755 : S_IFDIR | 0755;
	attributes->nlink = 1;
	attributes->blksize = 4096;
}

static void answer(int device, unsigned long unique, int error, const void *data, long size)
{
	static char reply[REQUEST];
	struct fuse_out_header *head = (void *)reply;

	head->len = sizeof *head + (error ? 0 : size);
	head->error = -error;
	head->unique = unique;
	if (!error && size)
		memcpy(head + 1, data, size);
	if (write(device, reply, head->len) < 0 && errno != ENOENT)
		_exit(3);
}

static void serve(int device, int is_busy)
{
	static char request[REQUEST];
	struct fuse_in_header *head = (void *)request;

	while (read(device, request, sizeof request) > 0) {
		struct fuse_init_out init = {.major = 7, .minor = 31, .max_write = 65536, .max_readahead = 65536};
		struct fuse_entry_out entry = {.nodeid = FILE_NODE};
		struct fuse_attr_out attributes = {0};
		struct fuse_open_out opened = {0};
		struct fuse_read_in *wanted = (void *)(head + 1);
		long left;

		if (is_busy)
			munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
		switch (head->opcode) {
		case FUSE_INIT:
			answer(device, head->unique, 0, &init, sizeof init);
			break;
		case FUSE_LOOKUP:
			describe(&entry.attr, FILE_NODE);
			answer(device, head->unique, strcmp((char *)(head + 1), "program") ? ENOENT : 0, &entry,
			       sizeof entry);
			break;
		case FUSE_GETATTR:
			describe(&attributes.attr, head->nodeid);
			answer(device, head->unique, 0, &attributes, sizeof attributes);
			break;
		case FUSE_OPEN:
			answer(device, head->unique, 0, &opened, sizeof opened);
			break;
		case FUSE_READ:
			left = length > (long)wanted->offset ? length - (long)wanted->offset : 0;
			answer(device, head->unique, 0, content + wanted->offset,
			       left < wanted->size ? left : wanted->size);
			break;
		case FUSE_FLUSH:
		case FUSE_RELEASE:
			answer(device, head->unique, 0, NULL, 0);
			break;
		case FUSE_FORGET:
		case FUSE_BATCH_FORGET:
		case FUSE_INTERRUPT:
			break;
		default:
			answer(device, head->unique, ENOSYS, NULL, 0);
		}
	}
	_exit(0);
}

static void give_myself_a_namespace(void)
{
	uid_t user = getuid();
	gid_t group = getgid();
	char map[99];
	int fd;

	if (user && unshare(CLONE_NEWUSER))
		exit(NOT_HERE);
	if (user) {
		fd = open("/proc/self/setgroups", O_WRONLY);
		if (write(fd, "deny", 4) != 4)
			exit(NOT_HERE);
		close(fd);
		fd = open("/proc/self/uid_map", O_WRONLY);
		if (write(fd, map, sprintf(map, "0 %u 1", user)) < 0)
			exit(NOT_HERE);
		close(fd);
		fd = open("/proc/self/gid_map", O_WRONLY);
		if (write(fd, map, sprintf(map, "0 %u 1", group)) < 0)
			exit(NOT_HERE);
		close(fd);
	}
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		exit(NOT_HERE);
}

static void mount_served(const char *folder, int is_busy)
{
	int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[99];

	sprintf(options, "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	if (device < 0 || mount("trial", folder, "fuse", 0, options))
		exit(NOT_HERE);
	if (!fork())
		serve(device, is_busy);
	close(device);
}

static void mount_memory(const char *folder, const char *path)
{
	int fd;

	if (mount("trial", folder, "tmpfs", 0, NULL))
		exit(NOT_HERE);
	fd = open(path, O_WRONLY | O_CREAT, 0755);
	if (write(fd, content, length) != length)
		exit(2);
	close(fd);
}

int main(int count, char **words)
{
	char path[4096];
	int status = -1;
	pid_t child;

	if (count < 4)
		return 2;
	snprintf(path, sizeof path, "%s/program", words[2]);
	read_program(words[3]);
	give_myself_a_namespace();
	if (strcmp(words[1], "memory"))
		mount_served(words[2], !strcmp(words[1], "busy"));
	else
		mount_memory(words[2], path);
	child = fork();
	if (!child) {
		execl(path, path, NULL);
		_exit(99);
	}
	waitpid(child, &status, 0);
	printf("%x\n", status);
	printf("%d\n", umount(words[2]));
	fflush(stdout);
	while (wait(NULL) > 0)
		;
	return 0;
}
