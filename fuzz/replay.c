/* Feeds saved inputs to a fuzz target, so that every find stays found in ordinary builds:
 *
 *     fuzz_X PATH...     each PATH a file, or a folder whose files are taken (not its folders, not dot files)
 *
 * Ends with 0 when the target came back from each; the target itself aborts on a fault. No input at all is a fault
 * too, as a test that runs nothing proves nothing. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX_BYTES = 16 << 20, PATH_MAX_BYTES = 4096 };

/* The input stands in a block of exactly its size, so that AddressSanitizer sees the first byte read too far. */
static int replay_file(const char *path, long long size)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    uint8_t *data = malloc(size ? (size_t)size : 1);
    int result = -1;
    if (!data || fread(data, 1, (size_t)size, file) != (size_t)size) {
        fprintf(stderr, "%s: cannot be read\n", path);
    } else {
        printf("%s: %lld bytes\n", path, size);
        fflush(stdout); /* the last line names the input at which the target fell */
        LLVMFuzzerTestOneInput(data, (size_t)size);
        result = 1;
    }
    free(data);
    fclose(file);
    return result;
}

static int replay_path(const char *path, int depth);

static int replay_folder(const char *path)
{
    struct dirent **names;
    int name_count = scandir(path, &names, NULL, alphasort);
    if (name_count < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    int total = 0;
    for (int i = 0; i < name_count; i++) {
        char child[PATH_MAX_BYTES];
        int length = snprintf(child, sizeof child, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && total >= 0) {
            int count = length < (int)sizeof child ? replay_path(child, 1) : -1;
            total = count < 0 ? -1 : total + count;
        }
        free(names[i]);
    }
    free(names);
    return total;
}

/* Returns how many inputs were fed, or -1 when something could not be read. */
static int replay_path(const char *path, int depth)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    if (S_ISDIR(info.st_mode))
        return depth == 0 ? replay_folder(path) : 0;
    if (info.st_size > INPUT_MAX_BYTES) {
        fprintf(stderr, "%s: %lld bytes, more than the limit of %d\n", path, (long long)info.st_size, INPUT_MAX_BYTES);
        return -1;
    }
    return replay_file(path, (long long)info.st_size);
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int count = replay_path(argv[i], 0);
        if (count < 0)
            return 1;
        total += count;
    }
    if (total == 0) {
        fprintf(stderr, "%s: no input was given or found\n", argv[0]);
        return 1;
    }
    printf("%d inputs replayed\n", total);
    return 0;
}
