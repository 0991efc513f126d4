#include "lib/trainer.h"

#include "lab/train/train.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORDS_MAX = 32 };

int tr_trainer_main(int argc, char **argv)
{
    static struct tr_run_config config;
    static struct tr_train_result result;
    struct tr_train_options options = tr_tiny_options();
    struct tr_err err = {{0}};
    const char *ranks = getenv("TRINE_TEST_RANKS");
    if (argc != 3)
        return 100;
    if (ranks)
        options.layout.ranks[TR_GROUP_DATA] = atoi(ranks);
    struct tr_override override = {"run.out", argv[2]};
    enum tr_status status = tr_run_config_read(&config, argv[1], &override, 1, &err);
    if (status == TR_OK)
        status = tr_train(&config, &options, &result, &err);
    tr_text_free(&result.last_sample);
    if (status != TR_OK)
        fprintf(stderr, "trainer: %s\n", err.text);
    return status;
}

void tr_trainer_config(const struct tr_run_config *config)
{
    struct tr_text yaml = {0};
    tr_run_config_yaml(config, &yaml);
    tr_scratch_put_text("config.yaml", tr_text_str(&yaml));
    tr_text_free(&yaml);
}

/* Under a tracer LeakSanitizer cannot work, and says so. */
static void leave_leaks(void)
{
    char options[512];
    const char *now = getenv("ASAN_OPTIONS");
    snprintf(options, sizeof options, "%s:detect_leaks=0", now ? now : "");
    setenv("ASAN_OPTIONS", options, 1);
}

pid_t tr_trainer_start(const char *out, const char *const *before)
{
    const char *words[WORDS_MAX];
    char self[TR_PATH_BYTES];
    int count = 0;
    const char *config = tr_scratch("config.yaml"), *said = tr_scratch("said");
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = 0;
    for (; before && before[count]; count++)
        words[count] = before[count];
    assert_true(count + 4 <= WORDS_MAX);
    words[count++] = self;
    words[count++] = config;
    words[count++] = out;
    words[count] = NULL;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (fd < 0 || dup2(fd, 2) < 0)
            _exit(127);
        if (before)
            leave_leaks();
        execvp(words[0], (char *const *)words);
        _exit(127);
    }
    assert_true(child > 0);
    return child;
}

struct tr_trainer_end tr_trainer_wait(pid_t child)
{
    struct tr_trainer_end end = {.status = -1};
    int status;
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    if (WIFEXITED(status))
        end.status = WEXITSTATUS(status);
    else
        end.signal = WTERMSIG(status);
    if (!tr_file_exists(tr_scratch("said")))
        return end;
    struct tr_bytes said = tr_scratch_read(tr_scratch("said"));
    size_t skip = said.len < sizeof end.said ? 0 : said.len - sizeof end.said + 1;
    memcpy(end.said, said.at + skip, said.len - skip);
    end.said[strcspn(end.said, "\n")] = 0;
    tr_bytes_free(&said);
    return end;
}

struct tr_trainer_end tr_trainer_run(const char *out, const char *const *before)
{
    return tr_trainer_wait(tr_trainer_start(out, before));
}

void tr_trainer_must_arrive(const char *out, const char *hex)
{
    struct tr_hash hash;
    struct tr_err err = {{0}};
    struct tr_trainer_end end = tr_trainer_run(out, NULL);
    if (end.status != TR_OK)
        fail_msg("ended with %d, signal %d: %s", end.status, end.signal, end.said);
    if (tr_hash_path(out, &hash, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_string_equal(hash.hex, hex);
}
