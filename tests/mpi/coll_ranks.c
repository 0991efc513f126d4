/* One rank of a job that mpirun starts (tests/mpi/test_*.sh): it runs what its words say and ends with the status.
 *
 *     coll_ranks [hosts=N] [timeout=S] [map] [case...]
 *
 * hosts=N takes every N ranks for a host of their own, so that messages of MPI go between them. Cases are those of
 * lib/coll_cases.h, "all" for all; rank 0 prints a digest of the results, which must not depend on the transport.
 * Besides: threads=N runs the cases as N threads instead, big is a message of more than 2^31 bytes; with hang, die,
 * fail, refuse rank 1 misbehaves. */
#include "lib/coll_cases.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct words {
    int count;
    char **word;
    struct tr_coll_case digest;
};

static bool is_wanted(const char *word, const char *name)
{
    return strcmp(word, "all") == 0 || strcmp(word, name) == 0;
}

/* A broadcast of bytes that an int cannot count, checked at a few places. */
static enum tr_status move_big(struct tr_comm *world, struct tr_err *err)
{
    const int64_t bytes = (INT64_C(1) << 31) + 4099;
    struct tr_slab slab = {0};
    enum tr_status status = tr_comm_map(world, bytes, &slab, err);
    if (status != TR_OK)
        return status;
    unsigned char *data = slab.at;
    static const int64_t places[] = {0, INT32_MAX - INT64_C(1), INT32_MAX, INT64_C(1) << 31, (INT64_C(1) << 31) + 4098};
    for (int p = 0; p < 5 && tr_comm_index(world) == 0; p++)
        data[places[p]] = (unsigned char)(p + 1);
    status = tr_broadcast(world, 0, data, bytes, err);
    for (int p = 0; p < 5 && status == TR_OK; p++)
        if (data[places[p]] != p + 1)
            status = tr_fail(err, TR_NO, "byte %lld of a big message is wrong", (long long)places[p]);
    tr_comm_unmap(world, &slab);
    return status;
}

static enum tr_status misbehave(struct tr_comm *world, const char *word, struct tr_err *err)
{
    enum tr_status status = tr_barrier(world, err);
    tr_comm_set_step(world, 12);
    if (status == TR_OK && tr_comm_index(world) == 1) {
        if (strcmp(word, "die") == 0)
            abort();
        if (strcmp(word, "fail") == 0)
            return tr_fail(err, TR_BAD_INPUT, "rank 1 does not like it");
        if (strcmp(word, "refuse") == 0)
            return tr_status_all(world, tr_fail(err, TR_BAD_INPUT, "it cannot be"), err);
        sleep(60);
    }
    if (status == TR_OK && strcmp(word, "refuse") == 0)
        return tr_status_all(world, TR_OK, err);
    return status == TR_OK ? tr_barrier(world, err) : status;
}

static bool is_misbehaviour(const char *word)
{
    static const char *const words[] = {"hang", "die", "fail", "refuse"};
    for (int i = 0; i < 4; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

static enum tr_status run_words(struct tr_comm *world, void *user, struct tr_err *err)
{
    struct words *words = user;
    enum tr_status status = TR_OK;
    for (int w = 0; w < words->count && status == TR_OK; w++) {
        const char *word = words->word[w];
        for (int i = 0; tr_coll_cases[i].run != NULL && status == TR_OK; i++)
            if (is_wanted(word, tr_coll_cases[i].name)) {
                status = tr_coll_cases[i].run(world, &words->digest, err);
                if (status != TR_OK)
                    tr_err_prefix(err, "%s", tr_coll_cases[i].name);
            }
        if (status == TR_OK && strcmp(word, "big") == 0)
            status = move_big(world, err);
        if (status == TR_OK && is_misbehaviour(word))
            status = misbehave(world, word, err);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct tr_comm_config config = {0};
    int threads = 0, first = 1;
    for (; first < argc && strchr(argv[first], '='); first++) {
        const char *value = strchr(argv[first], '=') + 1;
        if (strncmp(argv[first], "hosts=", 6) == 0)
            config.ranks_per_host = atoi(value);
        else if (strncmp(argv[first], "timeout=", 8) == 0)
            config.timeout_s = atof(value);
        else
            threads = atoi(value);
    }
    struct words words = {.count = argc - first, .word = argv + first, .digest = {.n = -1}};
    struct tr_err err = {""};
    struct tr_comm *world = NULL;
    enum tr_status status =
        threads > 0 ? tr_ranks_run(threads, &config, run_words, &words, &err) : tr_mpi_start(&config, &world, &err);
    bool is_first = threads > 0 || (status == TR_OK && tr_comm_index(world) == 0);
    bool speaks = world == NULL;
    if (world != NULL) {
        status = run_words(world, &words, &err);
        if (status != TR_OK)
            tr_comm_fail(world, status, &err);
        speaks = tr_comm_blamed(world) == tr_comm_index(world);
        tr_comm_free(world);
    }
    if (status != TR_OK && speaks)
        fprintf(stderr, "coll_ranks: %s\n", err.text);
    if (status == TR_OK && is_first)
        printf("digest %016" PRIx64 "\n", words.digest.digest);
    return (int)status;
}
