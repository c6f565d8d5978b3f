/* Disturbs, while it runs, the folder in which its observer records: tampers FOLDER HOW. Ends with status 3.
 *
 * victim/file, beside the folder, belongs to somebody else: no link to it may be followed.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SOME = 50, MANY = 1500 };

static const char *folder;
static char paths[2][4096];

static const char *in_folder(int which, const char *name)
{
    snprintf(paths[which], sizeof paths[which], "%s/%s", folder, name);
    return paths[which];
}

static void must(int result, const char *what)
{
    if (result == -1)
        err(1, "%s", what);
}

static void append(const char *name, const void *bytes, size_t length)
{
    int fd = open(in_folder(0, name), O_WRONLY | O_APPEND);
    must(fd, name);
    must(write(fd, bytes, length) == (ssize_t)length ? 0 : -1, name);
    close(fd);
}

static void remove_all(void)
{
    static const char *const names[] = {"calls.bin", "syscalls.bin", "library.bin", "arguments.bin", "stacks.bin",
                                        "notes.jsonl", "frames.bin", "recording.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[64];
        snprintf(name, sizeof name, "spool/%s", names[i]);
        must(unlink(in_folder(0, name)), name);
    }
}

static void exchange(const char *one, const char *other)
{
    must(rename(in_folder(0, one), "aside"), one);
    must(rename(in_folder(0, other), in_folder(1, one)), other);
    must(rename("aside", in_folder(0, other)), "aside");
}

static void disturb(const char *how)
{
    if (!strcmp(how, "moved"))
        must(rename(folder, "elsewhere"), how);
    else if (!strcmp(how, "removed"))
        remove_all();
    else if (!strcmp(how, "linked")) {
        must(rename(in_folder(0, "spool"), "elsewhere"), how);
        must(symlink("../victim", in_folder(0, "spool")), how);
    } else if (!strcmp(how, "planted")) {
        must(symlink("../victim/file", in_folder(0, "meta.json.partial")), how);
        must(symlink("../victim/file", in_folder(0, "calls.parquet")), how);
        must(unlink(in_folder(0, "meta.json")), how);
        must(symlink("../victim/file", in_folder(0, "meta.json")), how);
    } else if (!strcmp(how, "hard links")) {
        must(link("victim/file", in_folder(0, "faults.parquet")), how);
        must(unlink(in_folder(0, "meta.json")), how);
        must(link("victim/file", in_folder(0, "meta.json")), how);
    } else if (!strcmp(how, "pipes")) {
        must(mkfifo(in_folder(0, "calls.parquet"), 0600), how);
        must(mkfifo(in_folder(0, "spool/faults.99.bin"), 0600), how);
        must(unlink(in_folder(0, "spool/calls.bin")), how);
        must(mkfifo(in_folder(0, "spool/calls.bin"), 0600), how);
    } else if (!strcmp(how, "truncated")) {
        must(truncate(in_folder(0, "spool/calls.bin"), 0), how);
        must(truncate(in_folder(0, "spool/stacks.bin"), 0), how);
        must(truncate(in_folder(0, "spool/notes.jsonl"), 0), how);
    } else if (!strcmp(how, "noted")) {
        static const char note[] = "{\"what\":\"end\",\"pid\":\"x\",\"t\":[],\"mappings\":{}}\n";
        append("spool/notes.jsonl", note, sizeof note - 1);
    } else if (!strcmp(how, "lengthened"))
        must(truncate(in_folder(0, "spool/calls.bin"), 1L << 33), how);
    else if (!strcmp(how, "exchanged"))
        exchange("spool/calls.bin", "spool/syscalls.bin");
    else
        errx(2, "no such way: %s", how);
}

static void use_memory(int times)
{
    for (int i = 0; i < times; i++)
        free(malloc(100));
}

int main(int count, char **words)
{
    if (count != 3)
        errx(2, "usage: tampers FOLDER HOW");
    folder = words[1];
    use_memory(SOME);
    disturb(words[2]);
    use_memory(MANY);
    puts("went on");
    return 3;
}
