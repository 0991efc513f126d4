/* lab/train/checkpoint: nothing is lost, nothing damaged is loaded. Each system call of
 * a save in turn fails, or is the last one that the program lives to make. */
#include "lab/train/checkpoint.h"
#include "lab/train/shard.h"
#include "lib/faults.h"
#include "lib/faulty_disk.h"
#include "lib/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a small model ----------------------------------------------------------------------------------------------- */

static struct tr_model_config model;
static struct tr_weights weights;
static float **w, **m, **v;
static struct tr_train_state state;

static struct tr_tensors tensors(void) { return (struct tr_tensors){&weights, w, m, v}; }

static float **make_arrays(void)
{
    float **arrays = calloc((size_t)weights.count, sizeof *arrays);
    assert_non_null(arrays);
    for (int32_t i = 0; i < weights.count; i++)
        assert_non_null(arrays[i] = calloc((size_t)weights.weight[i].count, sizeof(float)));
    return arrays;
}

static void free_arrays(float **arrays)
{
    for (int32_t i = 0; i < weights.count; i++)
        free(arrays[i]);
    free(arrays);
}

/* Contents that differ from step to step. */
static void fill(int64_t step)
{
    for (int32_t i = 0; i < weights.count; i++)
        for (int64_t e = 0; e < weights.weight[i].count; e++) {
            w[i][e] = (float)(step * 1000 + i) + (float)e / 1024;
            m[i][e] = -w[i][e] / 2;
            v[i][e] = w[i][e] * 3;
        }
    memset(&state, 0, sizeof state);
    tr_run_config_default(&state.config);
    state.step = step;
    state.tokens = step * 100;
    state.loss = 1.0 / 3;
    state.first_val_loss = state.first_val_bpb = state.val_loss = state.val_bpb = state.best_val_loss = NAN;
    strcpy(state.arithmetic, "trine-1/f32 lanes=1 context=1 tensor=1 vocab=1");
    memset(state.data_sha256, 'a', sizeof state.data_sha256 - 1);
}

static int setup(void **unused)
{
    struct tr_err err = {{0}};
    if (tr_model_from_depth(&model, 1, 257, 16, &err) != TR_OK)
        return -1;
    /* As small as may be: every byte of a checkpoint is flipped below. */
    model.width = 4;
    model.heads = model.kv_heads = 1;
    model.head_dim = 2;
    model.ffn = 4;
    model.vocab = 8;
    if (tr_model_check(&model, "test", &err) != TR_OK || tr_weights_make(&weights, &model, &err) != TR_OK) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    w = make_arrays();
    m = make_arrays();
    v = make_arrays();
    return tr_scratch_setup(unused);
}

static int teardown(void **unused)
{
    free_arrays(w);
    free_arrays(m);
    free_arrays(v);
    tr_weights_free(&weights);
    return tr_scratch_teardown(unused);
}

/* ---- one writer, or several -------------------------------------------------------------------------------------- */

static int32_t shards = 1;

static struct tr_sharding sharding(void)
{
    static int32_t of[64];
    assert_true(weights.count <= 64 && shards <= weights.count);
    for (int32_t i = 0; i < weights.count; i++)
        of[i] = i % shards;
    return (struct tr_sharding){.weights = &weights, .count = shards, .of = of};
}

static enum tr_status write_shards(const char *folder, const struct tr_sharding *split, struct tr_file_sum *sums, struct tr_err *err)
{
    struct tr_tensors all = tensors();
    enum tr_status status = TR_OK;
    for (int32_t shard = 0; shard < split->count && status == TR_OK; shard++) {
        status = tr_checkpoint_write_shard(folder, &all, split, shard, sums, err);
        sums += tr_shard_sums(split, shard);
    }
    return status;
}

/* As ranks do together what tr_checkpoint_write does alone. */
static enum tr_status write_all(const char *run, int64_t last, struct tr_err *err)
{
    char folder[TR_PATH_BYTES];
    static struct tr_file_sum sums[1024];
    struct tr_keep keep = {.last = last, .step = {-1, -1, -1}};
    struct tr_tensors all = tensors();
    if (shards == 1)
        return tr_checkpoint_write(run, &model, &all, &state, &keep, err);
    const struct tr_sharding split = sharding();
    enum tr_status status = tr_checkpoint_begin(run, state.step, "", folder, err);
    if (status == TR_OK)
        status = write_shards(folder, &split, sums, err);
    if (status != TR_OK) {
        tr_checkpoint_give_up(folder, state.step, err);
        return status;
    }
    const struct tr_checkpoint_out out = {.run_folder = run, .folder = folder, .model = &model, .state = &state};
    return tr_checkpoint_finish(&out, &split, sums, &keep, err);
}

static void save(const char *run, int64_t step, int64_t keep)
{
    struct tr_err err = {{0}};
    fill(step);
    if (write_all(run, keep, &err) != TR_OK)
        fail_msg("%s", err.text);
}

/* Loads a checkpoint into cleared arrays and compares every bit with what save(step) wrote. */
static void must_be(const char *path, int64_t step)
{
    struct tr_err err = {{0}};
    struct tr_tensors all = tensors();
    float **expected[3] = {make_arrays(), make_arrays(), make_arrays()}, **real[3] = {w, m, v};
    fill(step);
    for (int a = 0; a < 3; a++)
        for (int32_t i = 0; i < weights.count; i++) {
            size_t bytes = (size_t)weights.weight[i].count * sizeof(float);
            memcpy(expected[a][i], real[a][i], bytes);
            memset(real[a][i], 0xff, bytes);
        }
    if (tr_checkpoint_verify(path, &err) != TR_OK || tr_checkpoint_read(path, &all, &err) != TR_OK)
        fail_msg("%s", err.text);
    for (int a = 0; a < 3; a++) {
        for (int32_t i = 0; i < weights.count; i++)
            assert_memory_equal(real[a][i], expected[a][i], (size_t)weights.weight[i].count * sizeof(float));
        free_arrays(expected[a]);
    }
    static struct tr_train_state loaded;
    if (tr_checkpoint_read_state(path, &loaded, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(loaded.step, step);
    assert_int_equal(loaded.tokens, step * 100);
    assert_true(loaded.loss == 1.0 / 3 && isnan(loaded.val_loss));
    assert_memory_equal(&loaded.config, &state.config, sizeof loaded.config);
}

/* The step of the newest good checkpoint, -1 for none at all; it must be good to the bit. */
static int64_t newest(const char *run, struct tr_text *bad)
{
    char path[TR_PATH_BYTES];
    struct tr_err err = {{0}};
    struct tr_text ignored = {0};
    enum tr_status status = tr_checkpoint_find_latest(run, path, bad ? bad : &ignored, &err);
    tr_text_free(&ignored);
    if (status == TR_NO)
        return -1;
    if (status != TR_OK)
        fail_msg("%s", err.text);
    int64_t step = strtoll(strrchr(path, '-') + 1, NULL, 10);
    must_be(path, step);
    return step;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void what_is_written_is_read(void **unused)
{
    (void)unused;
    const char *run = tr_scratch("plain");
    assert_int_equal(newest(run, NULL), -1);
    save(run, 7, 0);
    save(run, 100000000, 0);
    save(run, 12, 0);
    assert_int_equal(newest(run, NULL), 100000000);
    must_be(tr_scratch("plain/step-00000007"), 7);
    struct tr_model_config read;
    struct tr_err err = {{0}};
    assert_int_equal(tr_checkpoint_read_model(tr_scratch("plain/step-00000012"), &read, &err), TR_OK);
    assert_int_equal(read.width, 4);
    assert_int_equal(read.layers, 1);
    struct tr_tensors only_weights = {&weights, w, NULL, NULL};
    assert_int_equal(tr_checkpoint_read(tr_scratch("plain/step-00000012"), &only_weights, &err), TR_OK);
}

static void a_live_run_and_its_checkpoint_have_one_hash(void **unused)
{
    (void)unused;
    struct tr_err err = {{0}};
    struct tr_hash hash;
    char live[TR_SHA256_HEX_BYTES];
    save(tr_scratch("hash"), 3, 0);
    struct tr_tensors all = tensors();
    assert_int_equal(tr_hash_tensors(&all, live, &err), TR_OK);
    if (tr_hash_path(tr_scratch("hash"), &hash, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_string_equal(hash.hex, live);
    assert_int_equal(hash.step, 3);
    assert_string_equal(hash.arithmetic, state.arithmetic);
    float *last = v[weights.count - 1];
    last[0] = nextafterf(last[0], 0);
    char other[TR_SHA256_HEX_BYTES];
    assert_int_equal(tr_hash_tensors(&all, other, &err), TR_OK);
    assert_string_not_equal(other, live);
}

static void the_hash_is_over_the_bytes_that_the_header_says(void **unused)
{
    (void)unused;
    struct tr_err err = {{0}};
    struct tr_weight two[2] = {{.name = "ab", .rank = 2, .dim = {1, 2}, .count = 2, .moments = 2},
                               {.name = "c", .rank = 1, .dim = {1}, .count = 1, .moments = 2}};
    struct tr_weights list = {.count = 2, .weight = two};
    float x[] = {1, 2}, y[] = {3, 4}, z[] = {5, 6}, *one[] = {x, z + 1}, *two_m[] = {y, x}, *three[] = {z, y};
    struct tr_tensors all = {&list, one, two_m, three};
    const uint8_t bytes[] = {2, 0, 0, 0, 'a', 'b', 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
                             0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40, 0, 0, 0xa0, 0x40,
                             0, 0, 0xc0, 0x40,
                             1, 0, 0, 0, 'c', 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                             0, 0, 0xc0, 0x40, 0, 0, 0x80, 0x3f, 0, 0, 0x40, 0x40};
    uint8_t digest[TR_SHA256_BYTES];
    char expected[TR_SHA256_HEX_BYTES], got[TR_SHA256_HEX_BYTES];
    assert_int_equal(tr_sha256_of(bytes, sizeof bytes, digest, &err), TR_OK);
    assert_int_equal(tr_hash_tensors(&all, got, &err), TR_OK);
    assert_string_equal(got, tr_sha256_hex(digest, expected));
}

static bool there(const char *path) { return tr_folder_exists(tr_scratch(path)); }

static void keep_last_keeps_the_newest_that_are_whole(void **unused)
{
    (void)unused;
    const char *run = tr_scratch("keep");
    struct tr_err err;
    for (int64_t step = 1; step <= 4; step++)
        save(run, step, 2);
    assert_true(!there("keep/step-00000001") && !there("keep/step-00000002"));
    assert_true(there("keep/step-00000003") && there("keep/step-00000004"));
    assert_int_equal(truncate(tr_scratch("keep/step-00000004/model.safetensors"), 100), 0);
    save(run, 5, 2); /* 4 is no longer whole: it does not count, 3 stays */
    assert_true(there("keep/step-00000003") && there("keep/step-00000005"));
    assert_int_equal(tr_file_write(tr_scratch("keep/step-00000005/state.json"), "{}", 2, &err), TR_OK);
    save(run, 6, 1);
    assert_true(!there("keep/step-00000003") && there("keep/step-00000006"));
    assert_int_equal(newest(run, NULL), 6);
}

static void a_checkpoint_of_the_same_step_is_replaced(void **unused)
{
    (void)unused;
    const char *run = tr_scratch("again");
    save(run, 1, 0);
    save(run, 2, 0);
    assert_int_equal(truncate(tr_scratch("again/step-00000002/model.safetensors"), 10), 0);
    struct tr_text bad = {0};
    assert_int_equal(newest(run, &bad), 1);
    tr_assert_says(tr_text_str(&bad), "step-00000002/model.safetensors: damaged: 10 bytes, the manifest says");
    tr_text_free(&bad);
    save(run, 2, 0);
    assert_int_equal(newest(run, NULL), 2);
}

static const char *const files_of_one[] = {"config.json", "manifest.json", "model.safetensors", "optimizer.safetensors",
                                           "state.json"};
static const char *const files_of_two[] = {"config.json", "manifest.json", "model-00001-of-00002.safetensors",
                                           "model-00002-of-00002.safetensors", "optimizer-00001-of-00002.safetensors",
                                           "optimizer-00002-of-00002.safetensors", "model.safetensors.index.json", "state.json"};

static const char *const *files = files_of_one;
static int file_count = 5;
static const char *of_shards = ""; /* in rows of the table of faults */

static void row(const char *number, const char *what, const char *how, int64_t tried, int64_t right, const char *sees)
{
    char text[256];
    snprintf(text, sizeof text, "%s%s", what, of_shards);
    fault_row(number, text, how, tried, right, sees);
}

/* Runs save(step) in a child with a fault; returns the child's wait status. */
static int save_in_child(const char *run, int64_t step, enum fault kind, int error, int at)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct tr_err err = {{0}};
        fill(step);
        fault = kind;
        fault_error = error;
        fault_at = at;
        calls_seen = 0;
        enum tr_status status = write_all(run, 1, &err);
        fault = FAULT_NONE;
        if (status != TR_OK && !err.text[0])
            _exit(99);
        if (kind == FAULT_COUNT)
            _exit(calls_seen > 250 ? 250 : calls_seen);
        _exit(status);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    return result;
}

static int count_calls(const char *run)
{
    save(run, 1, 1);
    int result = save_in_child(run, 2, FAULT_COUNT, 0, 0);
    assert_true(WIFEXITED(result) && WEXITSTATUS(result) > 20 && WEXITSTATUS(result) < 250);
    return WEXITSTATUS(result);
}

static void start_over(const char *run)
{
    struct tr_err err;
    assert_int_equal(tr_folder_remove(run, &err), TR_OK);
    save(run, 1, 1);
}

static void a_kill_at_any_call_of_a_save_loses_nothing(void **unused)
{
    (void)unused;
    const char *run = tr_scratch("kill");
    int calls = count_calls(run), old = 0, new = 0;
    for (int at = 1; at <= calls; at++) {
        start_over(run);
        int result = save_in_child(run, 2, FAULT_KILL, 0, at);
        assert_true(WIFSIGNALED(result) && WTERMSIG(result) == SIGKILL);
        int64_t step = newest(run, NULL);
        assert_true(step == 1 || step == 2);
        old += step == 1;
        new += step == 2;
        save(run, 3, 1); /* and the run goes on: leftovers are no obstacle, and are gone */
        assert_int_equal(newest(run, NULL), 3);
        assert_true(!there("kill/step-00000002.tmp") && !there("kill/step-00000001.old"));
    }
    assert_true(old > 0 && new > 0);
    row("8", "kill -9 at each change of the disk by a save that keeps one checkpoint",
              "a shim around write, fsync, rename, mkdir, unlinkat", calls, calls,
              "nothing; the older or the newer checkpoint is whole");
}

/* Two saves, one after the other, each of which dies at any of its calls: what the first left is no trap for the second. */
static void a_kill_of_the_next_save_too_loses_nothing(void **unused)
{
    (void)unused;
    enum { MORE = 20 }; /* the second has leftovers to remove */
    const char *run = tr_scratch("twice");
    int calls = count_calls(run), killed = 0, rounds = calls * (calls + MORE);
    for (int i = 0; i < rounds; i += fault_tries(97, 1)) {
        start_over(run);
        int result = save_in_child(run, 2, FAULT_KILL, 0, 1 + i % calls);
        assert_true(WIFSIGNALED(result) && WTERMSIG(result) == SIGKILL);
        int64_t before = newest(run, NULL);
        result = save_in_child(run, 3, FAULT_KILL, 0, 1 + i / calls);
        int64_t after = newest(run, NULL);
        assert_true(after == 3 || (WIFSIGNALED(result) && after == before && before >= 1));
        killed += WIFSIGNALED(result);
    }
    assert_true(killed > 0);
    row("8", "the same, and the next save is killed too at each of its changes", "the same shim, twice", killed, killed,
              "nothing; the newest that is whole is there still");
}

/* The newest is damaged, so the one before it is the only good one, though one is kept. */
static void a_kill_of_a_save_that_finds_the_newest_damaged_loses_nothing(void **unused)
{
    (void)unused;
    const char *run = tr_scratch("stale");
    int killed = 0;
    for (int f = 0; f < file_count; f++) {
        bool more = true;
        for (int at = 1; more; at += fault_tries(17, 1)) {
            char path[TR_PATH_BYTES];
            start_over(run);
            save(run, 2, 2);
            snprintf(path, sizeof path, "%s/%s", tr_scratch("stale/step-00000002"), files[f]);
            assert_int_equal(truncate(path, 1), 0);
            int result = save_in_child(run, 3, FAULT_KILL, 0, at);
            int64_t step = newest(run, NULL);
            more = WIFSIGNALED(result);
            assert_true(more ? step == 1 || step == 3 : step == 3);
            killed += more;
        }
    }
    assert_true(killed > 0);
    row("8", "the same, where the newest checkpoint is damaged and the one before is the only good one",
              "each of its files is cut off in turn; the same shim", killed, killed, "nothing; the good one is there until the next is");
}

static void an_error_at_any_call_of_a_save_loses_nothing_and_is_told(void **unused)
{
    (void)unused;
    static const int errors[] = {ENOSPC, EIO};
    const char *run = tr_scratch("error");
    int calls = count_calls(run);
    for (int e = 0; e < 2; e++)
        for (int at = 1; at <= calls; at++) {
            start_over(run);
            int result = save_in_child(run, 2, FAULT_ERROR, errors[e], at);
            assert_true(WIFEXITED(result));
            int64_t step = newest(run, NULL);
            if (WEXITSTATUS(result) == TR_OK)
                assert_int_equal(step, 2);
            else
                assert_true(WEXITSTATUS(result) == TR_FAILED && (step == 1 || step == 2));
        }
    row("8", "ENOSPC, EIO at each of these, and one checkpoint is kept", "the same shim", 2 * calls, 2 * calls,
              "`the checkpoint of step 2 was not written: ...`, exit status 3; step 1 is whole");
}

static void a_full_disk_is_told_in_a_sentence_and_leaves_the_old_checkpoint(void **unused)
{
    (void)unused;
    const char *run = tr_scratch("full");
    struct tr_err err = {{0}};
    save(run, 1, 1);
    fill(2);
    fault = FAULT_ERROR;
    fault_error = ENOSPC;
    calls_seen = 0;
    fault_at = 8;
    enum tr_status status = write_all(run, 1, &err);
    fault = FAULT_NONE;
    assert_int_equal(status, TR_FAILED);
    tr_assert_says(err.text, "the checkpoint of step 2 was not written: ");
    tr_assert_says(err.text, "No space left on device");
    assert_false(there("full/step-00000002.tmp"));
    assert_int_equal(newest(run, NULL), 1);
}

static void short_writes_are_gone_on_with(void **unused)
{
    (void)unused;
    const char *run = tr_scratch("short");
    fault = FAULT_SHORT;
    save(run, 5, 0);
    fault = FAULT_NONE;
    assert_int_equal(newest(run, NULL), 5);
}

static void a_flipped_bit_in_any_byte_is_found(void **unused)
{
    (void)unused;
    save(tr_scratch("flip"), 1, 0);
    const char *run = tr_scratch("flip/step-00000001");
    int64_t flips = 0;
    for (int f = 0; f < file_count; f++) {
        char path[TR_PATH_BYTES];
        struct tr_err err = {{0}};
        snprintf(path, sizeof path, "%s/%s", run, files[f]);
        int fd = open(path, O_RDWR);
        struct stat info;
        assert_true(fd >= 0 && fstat(fd, &info) == 0);
        int64_t stride = shards > 1 ? fault_tries(7, 1) : 1;
        for (off_t at = 0; at < info.st_size; at += stride, flips++) {
            char byte, flipped;
            assert_int_equal(pread(fd, &byte, 1, at), 1);
            flipped = (char)(byte ^ (1 << (at % 8)));
            assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
            err.text[0] = 0;
            if (tr_checkpoint_verify(run, &err) != TR_BAD_INPUT || err.text[0] == 0)
                fail_msg("bit %d of byte %lld of %s was flipped, and not found", (int)(at % 8), (long long)at,
                         files[f]);
            if (strcmp(files[f], "manifest.json") != 0) /* a wrong sum there speaks of the file that it is of */
                tr_assert_says(err.text, files[f]);
            assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        }
        close(fd);
    }
    must_be(run, 1);
    row("6", "a flipped bit in any byte of a checkpoint", "each byte of all files in turn", flips, flips,
              "`step-N/optimizer.safetensors: damaged in tensor v.NAME (bytes A to B of the file)`; goes on from the one "
              "before");
}

static void damage_is_named_by_file_tensor_and_range(void **unused)
{
    (void)unused;
    save(tr_scratch("name"), 1, 0);
    const char *path = tr_scratch("name/step-00000001/optimizer.safetensors");
    struct tr_bytes bytes = tr_scratch_read(path);
    bytes.at[bytes.len - 1] ^= 1;
    struct tr_err err = {{0}};
    assert_int_equal(tr_file_write(path, bytes.at, bytes.len, &err), TR_OK);
    assert_int_equal(tr_checkpoint_verify(tr_scratch("name/step-00000001"), &err), TR_BAD_INPUT);
    char expected[256];
    snprintf(expected, sizeof expected, "damaged in tensor v.%s (bytes %lld to %lld of the file)",
             weights.weight[weights.count - 1].name,
             (long long)bytes.len - 4 * (long long)weights.weight[weights.count - 1].count, (long long)bytes.len - 1);
    tr_assert_says(err.text, expected);
    struct tr_tensors all = tensors();
    err.text[0] = 0;
    assert_int_equal(tr_checkpoint_read(tr_scratch("name/step-00000001"), &all, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, expected);
    bytes.at[bytes.len - 1] ^= 1;
    bytes.at[20] ^= 1;
    assert_int_equal(tr_file_write(path, bytes.at, bytes.len, &err), TR_OK);
    assert_int_equal(tr_checkpoint_verify(tr_scratch("name/step-00000001"), &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "optimizer.safetensors: damaged in its header");
    tr_bytes_free(&bytes);
}

static void copy(const char *from, const char *to)
{
    struct tr_err err;
    struct tr_bytes bytes = tr_scratch_read(from);
    assert_int_equal(tr_file_write(to, bytes.at, bytes.len, &err), TR_OK);
    tr_bytes_free(&bytes);
}

static void missing_swapped_stale_and_renamed_files_are_refused(void **unused)
{
    (void)unused;
    struct tr_err err = {{0}};
    for (int f = 0; f < file_count; f++) {
        start_over(tr_scratch("surgery"));
        save(tr_scratch("surgery"), 2, 0);
        char old[TR_PATH_BYTES], new[TR_PATH_BYTES];
        snprintf(old, sizeof old, "%s/%s", tr_scratch("surgery/step-00000001"), files[f]);
        snprintf(new, sizeof new, "%s/%s", tr_scratch("surgery/step-00000002"), files[f]);
        if (strcmp(files[f], "config.json") != 0 && !strstr(files[f], "index")) { /* these are the same in both */
            copy(old, new);
            assert_int_equal(newest(tr_scratch("surgery"), NULL), 1);
        }
        assert_int_equal(unlink(new), 0);
        assert_int_equal(newest(tr_scratch("surgery"), NULL), 1);
    }
    start_over(tr_scratch("surgery"));
    assert_int_equal(rename(tr_scratch("surgery/step-00000001"), tr_scratch("surgery/step-00000009")), 0);
    assert_int_equal(tr_checkpoint_verify(tr_scratch("surgery/step-00000009"), &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "its manifest is of step 1");
    char path[TR_PATH_BYTES];
    struct tr_text bad = {0};
    assert_int_equal(tr_checkpoint_find_latest(tr_scratch("surgery"), path, &bad, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "none of the 1 checkpoints is whole");
    save(tr_scratch("surgery"), 12, 0);
    assert_int_equal(unlink(tr_scratch("surgery/step-00000012/state.json")), 0);
    assert_int_equal(tr_checkpoint_find_latest(tr_scratch("surgery"), path, &bad, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "none of the 2 checkpoints is whole; the newest: ");
    tr_assert_says(err.text, "step-00000012/state.json");
    tr_text_free(&bad);
    row("7", "a file missing, or that of another step; a folder of another name", "file surgery", 2 * file_count, 2 * file_count,
              "`step-N/state.json: ...`; goes on from the one before, or `none of the N checkpoints is whole`");
}

/* Every length of every file, but the right one. */
static void a_file_that_is_cut_off_anywhere_is_refused(void **unused)
{
    (void)unused;
    int64_t cuts = 0;
    for (int f = 0; f < file_count; f++) {
        char path[TR_PATH_BYTES];
        start_over(tr_scratch("cut"));
        snprintf(path, sizeof path, "%s/%s", tr_scratch("cut/step-00000001"), files[f]);
        struct tr_bytes bytes = tr_scratch_read(path);
        int64_t stride = fault_tries(7, 1);
        for (int64_t len = (int64_t)bytes.len - 1; len >= 0; len -= stride, cuts++) {
            struct tr_err err = {{0}};
            assert_int_equal(truncate(path, len), 0);
            if (tr_checkpoint_verify(tr_scratch("cut/step-00000001"), &err) != TR_BAD_INPUT || !err.text[0])
                fail_msg("%s of %lld bytes was taken", files[f], (long long)len);
        }
        tr_bytes_free(&bytes);
    }
    row("7", "a file that is cut off", "each length of all files", cuts, cuts,
              "`step-N/model.safetensors: damaged: A bytes, the manifest says B`; goes on from the one before");
}

static void another_model_is_refused_by_the_tensor_that_differs(void **unused)
{
    (void)unused;
    save(tr_scratch("other"), 1, 0);
    struct tr_weights other = weights;
    struct tr_weight *list = malloc((size_t)weights.count * sizeof *list);
    assert_non_null(list);
    memcpy(list, weights.weight, (size_t)weights.count * sizeof *list);
    other.weight = list;
    struct tr_tensors all = {&other, w, m, v};
    struct tr_err err = {{0}};
    list[1].dim[0]++;
    assert_int_equal(tr_checkpoint_read(tr_scratch("other/step-00000001"), &all, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, weights.weight[1].name);
    tr_assert_says(err.text, "another type or shape");
    list[1].dim[0]--;
    strcpy(list[0].name, "wrong.name");
    assert_int_equal(tr_checkpoint_read(tr_scratch("other/step-00000001"), &all, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "stands where wrong.name belongs");
    other.count--;
    assert_int_equal(tr_checkpoint_read(tr_scratch("other/step-00000001"), &all, &err), TR_BAD_INPUT);
    free(list);
}

static void a_path_is_a_checkpoint_or_a_run_or_refused(void **unused)
{
    (void)unused;
    char path[TR_PATH_BYTES];
    struct tr_err err = {{0}};
    save(tr_scratch("path"), 1, 0);
    save(tr_scratch("path"), 20, 0);
    assert_int_equal(tr_checkpoint_resolve(tr_scratch("path"), path, &err), TR_OK);
    assert_string_equal(path, tr_scratch("path/step-00000020"));
    assert_int_equal(tr_checkpoint_resolve(tr_scratch("path/step-00000001"), path, &err), TR_OK);
    assert_string_equal(path, tr_scratch("path/step-00000001"));
    assert_int_equal(tr_checkpoint_resolve(tr_scratch("nowhere"), path, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "there is no such folder");
    tr_scratch_put_text("nothing/file", "x");
    assert_int_equal(tr_checkpoint_resolve(tr_scratch("nothing"), path, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "neither a checkpoint nor a run folder");
}

/* ---- what only several shards can have --------------------------------------------------------------------------- */

static void a_shard_of_another_step_is_called_that(void **unused)
{
    (void)unused;
    struct tr_err err = {{0}};
    save(tr_scratch("mixed"), 1, 0);
    save(tr_scratch("mixed"), 2, 0);
    copy(tr_scratch("mixed/step-00000001/model-00002-of-00002.safetensors"),
         tr_scratch("mixed/step-00000002/model-00002-of-00002.safetensors"));
    assert_int_equal(tr_checkpoint_verify(tr_scratch("mixed/step-00000002"), &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "model-00002-of-00002.safetensors: none of its ");
    tr_assert_says(err.text, "the file is of another step or of another run");
    assert_int_equal(unlink(tr_scratch("mixed/step-00000002/model-00002-of-00002.safetensors")), 0);
    assert_int_equal(tr_checkpoint_verify(tr_scratch("mixed/step-00000002"), &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "model-00002-of-00002.safetensors");
    tr_assert_says(err.text, "No such file");
    assert_int_equal(newest(tr_scratch("mixed"), NULL), 1);
}

/* The manifest vouches for its files, but not for their being all that the model has. */
static void a_checkpoint_without_one_of_its_tensors_is_refused(void **unused)
{
    (void)unused;
    struct tr_err err = {{0}};
    struct tr_tensors all = tensors();
    fill(1);
    weights.count--;
    enum tr_status status = write_all(tr_scratch("less"), 0, &err);
    weights.count++;
    assert_int_equal(status, TR_OK);
    assert_int_equal(tr_checkpoint_verify(tr_scratch("less/step-00000001"), &err), TR_OK);
    assert_int_equal(tr_checkpoint_read(tr_scratch("less/step-00000001"), &all, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "step-00000001: has no tensor ");
    tr_assert_says(err.text, weights.weight[weights.count - 1].name);
    struct tr_hash hash;
    assert_int_equal(tr_hash_path(tr_scratch("less"), &hash, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "has no tensor ");
}

static void the_hash_is_that_of_one_shard(void **unused)
{
    (void)unused;
    struct tr_err err = {{0}};
    struct tr_hash one, two;
    save(tr_scratch("two"), 3, 0);
    shards = 1;
    save(tr_scratch("one"), 3, 0);
    shards = 2;
    assert_int_equal(tr_hash_path(tr_scratch("one"), &one, &err), TR_OK);
    assert_int_equal(tr_hash_path(tr_scratch("two"), &two, &err), TR_OK);
    assert_string_equal(one.hex, two.hex);
}

/* A rank that was thought dead goes on writing while the next attempt saves the same step. */
static void a_rank_of_an_attempt_before_cannot_write_into_this_one(void **unused)
{
    (void)unused;
    char old[TR_PATH_BYTES], new[TR_PATH_BYTES];
    static struct tr_file_sum sums[1024];
    struct tr_err err = {{0}};
    struct tr_tensors all = tensors();
    const struct tr_sharding split = sharding();
    const char *run = tr_scratch("orphan");
    assert_int_equal(tr_folder_make(run, &err), TR_OK);
    assert_int_equal(tr_checkpoint_begin(run, 1, ".a", old, &err), TR_OK);
    assert_int_equal(tr_checkpoint_begin(run, 1, ".b", new, &err), TR_OK);
    assert_int_equal(tr_checkpoint_write_shard(old, &all, &split, 1, sums, &err), TR_FAILED);
    tr_assert_says(err.text, "step-00000001.a.tmp: is not there: run.out must be on a file system that all ranks see");
    assert_int_equal(tr_checkpoint_write_shard(new, &all, &split, 1, sums, &err), TR_OK);
    save(run, 2, 1);
    assert_false(there("orphan/step-00000001.b.tmp"));
}

static int two_setup(void **unused)
{
    shards = 2;
    files = files_of_two;
    file_count = sizeof files_of_two / sizeof *files_of_two;
    of_shards = ", of two shards";
    return setup(unused);
}

int main(void)
{
    const struct CMUnitTest of_two[] = {
        cmocka_unit_test(a_live_run_and_its_checkpoint_have_one_hash),
        cmocka_unit_test(a_kill_at_any_call_of_a_save_loses_nothing),
        cmocka_unit_test(a_kill_of_the_next_save_too_loses_nothing),
        cmocka_unit_test(a_kill_of_a_save_that_finds_the_newest_damaged_loses_nothing),
        cmocka_unit_test(an_error_at_any_call_of_a_save_loses_nothing_and_is_told),
        cmocka_unit_test(a_flipped_bit_in_any_byte_is_found),
        cmocka_unit_test(missing_swapped_stale_and_renamed_files_are_refused),
        cmocka_unit_test(a_file_that_is_cut_off_anywhere_is_refused),
        cmocka_unit_test(a_shard_of_another_step_is_called_that),
        cmocka_unit_test(a_checkpoint_without_one_of_its_tensors_is_refused),
        cmocka_unit_test(the_hash_is_that_of_one_shard),
        cmocka_unit_test(a_rank_of_an_attempt_before_cannot_write_into_this_one),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_live_run_and_its_checkpoint_have_one_hash),
        cmocka_unit_test(the_hash_is_over_the_bytes_that_the_header_says),
        cmocka_unit_test(keep_last_keeps_the_newest_that_are_whole),
        cmocka_unit_test(a_checkpoint_of_the_same_step_is_replaced),
        cmocka_unit_test(a_kill_at_any_call_of_a_save_loses_nothing),
        cmocka_unit_test(a_kill_of_the_next_save_too_loses_nothing),
        cmocka_unit_test(a_kill_of_a_save_that_finds_the_newest_damaged_loses_nothing),
        cmocka_unit_test(an_error_at_any_call_of_a_save_loses_nothing_and_is_told),
        cmocka_unit_test(a_full_disk_is_told_in_a_sentence_and_leaves_the_old_checkpoint),
        cmocka_unit_test(short_writes_are_gone_on_with),
        cmocka_unit_test(a_flipped_bit_in_any_byte_is_found),
        cmocka_unit_test(damage_is_named_by_file_tensor_and_range),
        cmocka_unit_test(missing_swapped_stale_and_renamed_files_are_refused),
        cmocka_unit_test(a_file_that_is_cut_off_anywhere_is_refused),
        cmocka_unit_test(another_model_is_refused_by_the_tensor_that_differs),
        cmocka_unit_test(a_path_is_a_checkpoint_or_a_run_or_refused),
    };
    int failed = cmocka_run_group_tests_name("lab/train/checkpoint", tests, setup, teardown);
    return failed + cmocka_run_group_tests_name("lab/train/checkpoint of two shards", of_two, two_setup, teardown);
}
