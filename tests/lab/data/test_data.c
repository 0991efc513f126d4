/* lab/data: text to batches as a pure function of seed and step; bad data refused with a sentence. */
#include "base/os.h"
#include "base/text.h"
#include "lab/data/data.h"
#include "lab/data/jsonl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[256];

static const char *at(const char *name)
{
    static char path[4][512];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static void put(const char *name, const void *bytes, size_t count)
{
    struct tr_err err;
    char parent[512];
    snprintf(parent, sizeof parent, "%s", at(name));
    *strrchr(parent, '/') = 0;
    assert_int_equal(tr_folder_make(parent, &err), TR_OK);
    assert_int_equal(tr_file_write(at(name), bytes, count, &err), TR_OK);
}

static void put_text(const char *name, const char *text) { put(name, text, strlen(text)); }

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s/trine-data-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    struct tr_err err;
    return tr_folder_remove(folder, &err) == TR_OK ? 0 : -1;
}

/* 26 letters and a line end, over and over. */
static void put_alphabet(const char *name, size_t count)
{
    char *bytes = malloc(count);
    assert_non_null(bytes);
    for (size_t i = 0; i < count; i++)
        bytes[i] = i % 27 == 26 ? '\n' : (char)('a' + i % 27);
    put(name, bytes, count);
    free(bytes);
}

static struct tr_data open_data(const struct tr_data_config *config)
{
    struct tr_data data;
    struct tr_err err = {{0}};
    enum tr_status status = tr_data_open(&data, config, &err);
    if (status != TR_OK)
        fail_msg("%s", err.text);
    return data;
}

static void refuse(const struct tr_data_config *config, enum tr_status expected, const char *part)
{
    struct tr_data data;
    struct tr_err err = {{0}};
    assert_int_equal(tr_data_open(&data, config, &err), expected);
    if (!strstr(err.text, part))
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

static void a_folder_is_its_files_sorted_by_path_and_joined_by_end_of_text(void **state)
{
    (void)state;
    put_text("f/b.txt", "bb");
    put_text("f/a/z.txt", "az");
    put_text("f/a.txt", "A");
    put_text("f/.hidden", "no");
    put_text("f/.git/x", "no");
    put_text("f/empty.txt", "");
    put_text("f/c/d/e", "E");
    assert_int_equal(symlink("../f", at("f/loop")), 0);
    struct tr_data_config config = {.path = at("f"), .seq_len = 2, .batch = 1};
    struct tr_data data = open_data(&config);
    int32_t tokens[16], expected[] = {'A', 256, 'a', 'z', 256, 'b', 'b', 256, 'E'}; /* "a.txt" < "a/z.txt" */
    assert_int_equal(data.document_count, 4);
    assert_int_equal(data.token_count, 9);
    tr_data_tokens(&data, 0, 9, tokens);
    assert_memory_equal(tokens, expected, sizeof expected);
    for (int64_t first = 0; first < 9; first++)
        for (int64_t count = 0; first + count <= 9; count++) {
            tr_data_tokens(&data, first, count, tokens);
            assert_memory_equal(tokens, expected + first, (size_t)count * sizeof *tokens);
        }
    int64_t bytes;
    struct tr_err err;
    assert_int_equal(tr_data_measure(at("f"), &bytes, &err), TR_OK);
    assert_int_equal(bytes, 6);
    tr_data_close(&data);
}

static void the_sum_tells_documents_apart(void **state)
{
    (void)state;
    put_text("s1/a", "ab");
    put_text("s1/b", "c");
    put_text("s2/a", "a");
    put_text("s2/b", "bc");
    put_text("s3/x", "ab");
    put_text("s3/y", "c");
    char sum[3][TR_SHA256_HEX_BYTES];
    const char *names[] = {"s1", "s2", "s3"};
    for (int i = 0; i < 3; i++) {
        struct tr_data_config config = {.path = at(names[i]), .seq_len = 1, .batch = 1};
        struct tr_data data = open_data(&config);
        memcpy(sum[i], data.sha256, sizeof sum[i]);
        tr_data_close(&data);
    }
    assert_string_not_equal(sum[0], sum[1]);
    assert_string_equal(sum[0], sum[2]);
}

static void every_epoch_reads_each_window_once_in_another_order_and_at_another_shift(void **state)
{
    (void)state;
    put_alphabet("abc.txt", 27 * 40);
    struct tr_data_config config = {.path = at("abc.txt"), .seq_len = 16, .batch = 3, .seed = 7};
    struct tr_data data = open_data(&config);
    int64_t windows = data.train_windows;
    assert_true(data.train_tokens - windows * 16 <= 2 * 16);
    char *seen = calloc(1, (size_t)data.token_count);
    assert_non_null(seen);
    int64_t first_shift = -1, other_shifts = 0, first_orders[64], other_orders = 0;
    for (int64_t epoch = 0; epoch < 4; epoch++) {
        int64_t lowest = data.token_count;
        memset(seen, 0, (size_t)data.token_count);
        for (int64_t i = 0; i < windows; i++) {
            int64_t sample = epoch * windows + i;
            int64_t begin = tr_data_window(&data, sample / 3, sample % 3);
            assert_in_range(begin, 0, data.train_tokens - 17);
            for (int64_t t = begin; t < begin + 16; t++)
                assert_int_equal(seen[t]++, 0);
            lowest = begin < lowest ? begin : lowest;
            if (epoch == 0 && i < 64)
                first_orders[i] = begin;
            else if (i < 64)
                other_orders += begin / 16 != first_orders[i] / 16;
        }
        other_shifts += epoch > 0 && lowest != first_shift;
        first_shift = epoch == 0 ? lowest : first_shift;
    }
    assert_true(other_shifts > 0);
    assert_true(other_orders > 64);
    free(seen);
    tr_data_close(&data);
}

static void rows_of_a_batch_do_not_depend_on_who_asks_for_them(void **state)
{
    (void)state;
    put_alphabet("abc.txt", 5000);
    struct tr_data_config config = {.path = at("abc.txt"), .seq_len = 16, .batch = 8, .seed = 3, .val_fraction = 0.1};
    struct tr_data data = open_data(&config), again = open_data(&config);
    int32_t all[8 * 16], all_targets[8 * 16], part[3 * 16], part_targets[3 * 16];
    for (int64_t step = 40; step >= 0; step -= 5) { /* any order of steps */
        tr_data_batch(&data, step, 0, 8, all, all_targets, NULL);
        tr_data_batch(&again, step, 4, 3, part, part_targets, NULL);
        assert_memory_equal(part, all + 4 * 16, sizeof part);
        assert_memory_equal(part_targets, all_targets + 4 * 16, sizeof part);
        for (int row = 0; row < 8; row++) {
            assert_memory_equal(all_targets + row * 16, all + row * 16 + 1, 15 * sizeof *all);
            for (int i = 0; i < 16; i++)
                assert_true(tr_data_window(&data, step, row) + 16 < data.train_tokens);
        }
    }
    tr_data_close(&data);
    config.seed = 4;
    data = open_data(&config);
    tr_data_batch(&data, 0, 0, 8, all, all_targets, NULL);
    tr_data_batch(&again, 0, 4, 3, part, part_targets, NULL);
    assert_memory_not_equal(part, all + 4 * 16, sizeof part);
    tr_data_close(&data);
    tr_data_close(&again);
}

static void validation_is_the_end_of_the_text_cut_at_a_line_end(void **state)
{
    (void)state;
    put_alphabet("abc.txt", 27 * 100 + 5);
    struct tr_data_config config = {.path = at("abc.txt"), .seq_len = 10, .batch = 1, .val_fraction = 0.1};
    struct tr_data data = open_data(&config);
    assert_int_equal(data.train_tokens % 27, 0);
    assert_true(data.val_tokens >= 270 && data.val_tokens < 270 + 27);
    assert_int_equal(data.train_tokens + data.val_tokens, data.token_count);
    tr_data_close(&data);
}

static void validation_counts_every_byte_once(void **state)
{
    (void)state;
    put_text("v/a", "0123456789\nabcdefghij\n");
    put_text("v/b", "klmnopqrstuvw");
    struct tr_data_config config = {.path = at("v"), .seq_len = 4, .batch = 1, .val_fraction = 0.6};
    struct tr_data data = open_data(&config);
    assert_int_equal(data.train_tokens, 11);
    assert_int_equal(data.val_tokens, 25);
    assert_int_equal(data.val_windows, 6);
    int32_t tokens[8 * 4], targets[8 * 4];
    struct tr_val_count count = tr_data_val_batch(&data, 0, 8, tokens, targets, NULL), one = {0};
    assert_int_equal(count.targets, 24); /* all but the first token */
    assert_int_equal(count.bytes, 23);   /* one of them is end-of-text */
    for (int i = 24; i < 32; i++) {
        assert_int_equal(tokens[i], 0);
        assert_int_equal(targets[i], -1);
    }
    for (int64_t i = 0; i < 8; i++) {
        struct tr_val_count part = tr_data_val_batch(&data, i, 1, tokens, targets, NULL);
        one.targets += part.targets;
        one.bytes += part.bytes;
    }
    assert_int_equal(one.targets, 24);
    assert_int_equal(one.bytes, 23);
    tr_data_close(&data);
    config.val_windows = 2; /* spread: windows 0 and 3 */
    data = open_data(&config);
    count = tr_data_val_batch(&data, 0, 2, tokens, targets, NULL);
    assert_int_equal(data.val_windows, 2);
    assert_int_equal(count.targets, 8);
    assert_int_equal(tokens[0], 'a');
    int32_t expected[4];
    tr_data_tokens(&data, 11 + 3 * 4, 4, expected);
    assert_memory_equal(tokens + 4, expected, sizeof expected);
    tr_data_close(&data);
}

static void bits_per_byte_of_one_nat_a_byte_is_log2_of_e(void **state)
{
    (void)state;
    assert_true(tr_bits_per_byte(100, 100) > 1.442695 && tr_bits_per_byte(100, 100) < 1.442696);
    assert_true(tr_bits_per_byte(1, 0) != tr_bits_per_byte(1, 0));
}

static void the_smallest_text_that_is_enough_is_taken(void **state)
{
    (void)state;
    put_text("eleven", "0123456789a");
    struct tr_data_config config = {.path = at("eleven"), .seq_len = 10, .batch = 2};
    struct tr_data data = open_data(&config);
    int32_t tokens[20], targets[20];
    assert_int_equal(data.train_windows, 1);
    tr_data_batch(&data, 5, 0, 2, tokens, targets, NULL);
    assert_int_equal(tokens[10], '0');
    assert_int_equal(targets[9], 'a');
    tr_data_close(&data);
    config.seq_len = 11;
    refuse(&config, TR_BAD_INPUT, "11 tokens, of which 11 are for training; one window of data.seq_len 11 needs 12");
}

static void bad_data_are_refused_with_a_sentence(void **state)
{
    (void)state;
    struct tr_data_config config = {.path = at("missing.txt"), .seq_len = 4, .batch = 1, .val_fraction = 0.1};
    refuse(&config, TR_BAD_INPUT, "missing.txt: cannot be read: No such file");
    config.path = "";
    refuse(&config, TR_BAD_INPUT, "no data given");
    put_text("empty.txt", "");
    config.path = at("empty.txt");
    refuse(&config, TR_BAD_INPUT, "empty.txt: the file is empty");
    config.path = "/dev/zero";
    refuse(&config, TR_BAD_INPUT, "/dev/zero: is a device");
    assert_int_equal(mkfifo(at("pipe"), 0600), 0);
    config.path = at("pipe");
    refuse(&config, TR_BAD_INPUT, "is a pipe");
    put_text("only_hidden/.x", "text");
    config.path = at("only_hidden");
    refuse(&config, TR_BAD_INPUT, "holds no files");
    put_text("only_empty/x", "");
    config.path = at("only_empty");
    refuse(&config, TR_BAD_INPUT, "all 1 files of the folder are empty");
    static const char *const shards[] = {"shard-00001.tokens", "shard.bin", "shard.idx"};
    for (size_t i = 0; i < sizeof shards / sizeof *shards; i++) { /* whatever else is beside it */
        char name[64], says[96];
        snprintf(name, sizeof name, "shards-%zu/other.txt", i);
        put_text(name, "some text here, and more of it");
        snprintf(name, sizeof name, "shards-%zu/%s", i, shards[i]);
        put_text(name, "");
        snprintf(says, sizeof says, "%s: 0 bytes: the shard is empty", shards[i]);
        *strrchr(name, '/') = 0;
        config.path = at(name);
        refuse(&config, TR_BAD_INPUT, says);
    }
    put_text("dangling/x", "some text here");
    assert_int_equal(symlink("nowhere", at("dangling/y")), 0);
    config.path = at("dangling");
    refuse(&config, TR_BAD_INPUT, "dangling/y: a link that leads nowhere");
    put_text("short.txt", "abcdef");
    config.path = at("short.txt");
    config.val_fraction = 0;
    config.seq_len = 6;
    refuse(&config, TR_BAD_INPUT, "needs 7");
    config.seq_len = 4;
    config.val_fraction = 0.1;
    refuse(&config, TR_BAD_INPUT, "validation");
}

static void text_that_is_no_utf8_is_refused_where_it_begins_to_be_none_unless_bytes_are_asked_for(void **state)
{
    (void)state;
    static const struct { const char *name, *bytes; size_t count; const char *sentence; } cases[] = {
        {"latin1.txt", "a caf\xe9 somewhere", 16, "latin1.txt: offset 5: the byte 0xe9 begins no character of UTF-8; data are "
                                                 "text in UTF-8, unless their encoding is said to be \"bytes\""},
        {"utf16.txt", "\xff\xfeT\0e\0x\0t\0", 10, "utf16.txt: offset 0: begins as UTF-16 does"},
        {"utf16be.txt", "\xfe\xff\0T\0e\0x\0t", 10, "utf16be.txt: offset 0: begins as UTF-16 does"},
        {"zero.txt", "some text\0 and more", 19, "zero.txt: offset 9: a byte 0: it is no text, or not in UTF-8"},
        {"cut.txt", "smile \xf0\x9f\x98", 9, "cut.txt: offset 6: the last character is cut off (3 of its 4 bytes are there)"},
        {"surrogate.txt", "surrogate \xed\xa0\x80 half", 18, "surrogate.txt: offset 10: the byte 0xed"},
        {"runs/step/weights", "a few \x93\x12\x3d numbers", 17, "runs/step/weights: offset 6: the byte 0x93"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_data_config config = {.path = at(cases[i].name), .seq_len = 4, .batch = 1};
        put(cases[i].name, cases[i].bytes, cases[i].count);
        refuse(&config, TR_BAD_INPUT, cases[i].sentence);
        config.encoding = TR_ENCODING_BYTES;
        struct tr_data data = open_data(&config);
        assert_int_equal(data.byte_count, cases[i].count);
        assert_memory_equal(data.bytes, cases[i].bytes, cases[i].count);
        tr_data_close(&data);
    }
    put_text("runs/a.txt", "a folder with a text and with what a run left");
    struct tr_data_config config = {.path = at("runs"), .seq_len = 4, .batch = 1};
    refuse(&config, TR_BAD_INPUT, "runs/step/weights: offset 6: ");
}

static void an_unreadable_file_is_named(void **state)
{
    (void)state;
    uid_t user = geteuid(), nobody = 65534;
    put_text("locked/secret", "text");
    assert_int_equal(chmod(at("locked/secret"), 0), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    struct tr_data_config config = {.path = at("locked"), .seq_len = 1, .batch = 1};
    assert_true(user != 0 || seteuid(nobody) == 0); /* root reads everything */
    refuse(&config, TR_BAD_INPUT, "locked/secret: cannot be opened: Permission denied");
    assert_int_equal(seteuid(user), 0);
}

/* ---- JSON Lines -------------------------------------------------------------------------------------------------- */

static void a_jsonl_file_is_what_a_folder_of_its_texts_is(void **state)
{
    (void)state;
    put_text("texts/1", "first");
    put_text("texts/2", "t\xc3\xb6\xf0\x9f\x98\x80\n");
    put_text("texts/3", "last");
    put_text("lines/all.jsonl", "{\"text\": \"first\"}\r\n\n{\"id\": 1, \"text\": \"t\\u00f6\\ud83d\\ude00\\n\"}\n"
                                "{\"text\": \"\"}\n   \n{\"text\": \"last\", \"more\": [1, {}]}");
    struct tr_data_config config = {.path = at("texts"), .seq_len = 4, .batch = 1};
    struct tr_data texts = open_data(&config);
    for (int i = 0; i < 2; i++) {
        config.path = at(i ? "lines" : "lines/all.jsonl");
        struct tr_data lines = open_data(&config);
        int32_t a[32], b[32];
        assert_int_equal(lines.document_count, 3);
        assert_int_equal(lines.token_count, texts.token_count);
        assert_int_equal(lines.byte_count, texts.byte_count);
        assert_string_equal(lines.sha256, texts.sha256);
        tr_data_tokens(&texts, 0, texts.token_count, a);
        tr_data_tokens(&lines, 0, lines.token_count, b);
        assert_memory_equal(a, b, (size_t)lines.token_count * sizeof *a);
        tr_data_close(&lines);
    }
    tr_data_close(&texts);
}

static void lines_that_go_over_the_reader_s_buffer_are_whole(void **state)
{
    (void)state;
    enum { FIRST = 1000, SECOND = 3000000, THIRD = 1048576 };
    static const int length[] = {FIRST, SECOND, THIRD, FIRST};
    char *text = malloc(FIRST + SECOND + THIRD + FIRST + 100), *to = text;
    assert_non_null(text);
    for (int i = 0; i < 4; i++) {
        to += sprintf(to, "{\"text\": \"");
        memset(to, 'a' + i, (size_t)length[i]);
        to += length[i];
        to += sprintf(to, "\"}\n");
    }
    put("long.jsonl", text, (size_t)(to - text));
    free(text);
    struct tr_data_config config = {.path = at("long.jsonl"), .seq_len = 4, .batch = 1};
    struct tr_data data = open_data(&config);
    assert_int_equal(data.document_count, 4);
    int64_t begin = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(data.document_end[i] - begin, length[i]);
        for (; begin < data.document_end[i]; begin++)
            assert_int_equal(data.bytes[begin], 'a' + i);
    }
    tr_data_close(&data);
}

static void a_bad_line_is_named(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"{\"text\": \"cut off", "bad.jsonl:3:"},
        {"{\"text\": \"\xff\xfe\"}", "bad.jsonl:3:"},
        {"{\"text\": \"a\\u0000b\"}", "bad.jsonl:3"},
        {"[\"text\"]", "bad.jsonl:3: expected an object with a key \"text\""},
        {"{\"body\": \"a\"}", "bad.jsonl:3: has no key \"text\""},
        {"{\"text\": 3}", "bad.jsonl:3: text: expected a string"},
        {"{\"messages\": []}", "bad.jsonl:3: is a conversation (\"messages\")"},
    };
    struct tr_data_config config = {.seq_len = 4, .batch = 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"text\": \"this is good\"}\n\n%s\n", bad[i][0]);
        put_text("bad.jsonl", text);
        config.path = at("bad.jsonl");
        refuse(&config, TR_BAD_INPUT, bad[i][1]);
    }
    put_text("none.jsonl", "\n{\"text\": \"\"}\n");
    config.path = at("none.jsonl");
    refuse(&config, TR_BAD_INPUT, "none.jsonl: no line of it has a text");
    char *line = malloc((size_t)(TR_JSONL_LINE_MAX_BYTES + 2));
    assert_non_null(line);
    memset(line, ' ', (size_t)(TR_JSONL_LINE_MAX_BYTES + 2));
    line[0] = '{';
    put("huge.jsonl", line, (size_t)(TR_JSONL_LINE_MAX_BYTES + 2));
    free(line);
    config.path = at("huge.jsonl");
    refuse(&config, TR_BAD_INPUT, "huge.jsonl:1: longer than the limit of 67108864 bytes");
}

/* ---- documents apart --------------------------------------------------------------------------------------------- */

/* What the manual says, written out another way: from each place back to the end token before it. */
static void expect_apart(const struct tr_data *data, int64_t begin, const int32_t *tokens, const int32_t *targets,
                         const int32_t *starts)
{
    int32_t row[8];
    tr_data_tokens(data, begin, data->seq_len + 1, row);
    for (int64_t i = 0; i < data->seq_len; i++) {
        int64_t start = i;
        while (start > 0 && row[start - 1] != TR_TOKEN_END)
            start--;
        assert_int_equal(tokens[i], row[i]);
        assert_int_equal(starts[i], start);
        assert_int_equal(targets[i], row[i] == TR_TOKEN_END ? -1 : row[i + 1]);
    }
}

static void apart_every_position_knows_where_its_document_begins_and_an_end_has_no_target(void **state)
{
    (void)state;
    put_text("apart/a", "first");
    put_text("apart/b", "x");
    put_text("apart/c", "the third of them");
    put_text("apart/d", "yz");
    put_text("apart/e", "a last one");
    struct tr_data_config config = {.path = at("apart"), .seq_len = 7, .batch = 3, .seed = 5, .apart = true};
    struct tr_data data = open_data(&config);
    int32_t tokens[3 * 7], targets[3 * 7], starts[3 * 7];
    bool some_end = false;
    for (int64_t step = 0; step < 20; step++) {
        int64_t expected = 0, count = tr_data_batch(&data, step, 0, 3, tokens, targets, starts);
        for (int64_t row = 0; row < 3; row++)
            expect_apart(&data, tr_data_window(&data, step, row), tokens + 7 * row, targets + 7 * row, starts + 7 * row);
        for (int i = 0; i < 21; i++)
            expected += targets[i] >= 0;
        assert_int_equal(count, expected);
        some_end |= count < 21;
    }
    assert_true(some_end);
    tr_data_close(&data);
}

static void apart_validation_counts_every_byte_but_those_that_begin_a_document(void **state)
{
    (void)state;
    struct tr_data_config config = {.path = at("apart"), .seq_len = 7, .batch = 1, .only_val = true, .apart = true};
    struct tr_data data = open_data(&config);
    int32_t tokens[8 * 7], targets[8 * 7], starts[8 * 7];
    struct tr_val_count count = tr_data_val_batch(&data, 0, 8, tokens, targets, starts);
    assert_int_equal(data.token_count, 5 + 1 + 17 + 2 + 10 + 4);
    assert_int_equal(count.bytes, 5 + 1 + 17 + 2 + 10 - 5);
    assert_int_equal(count.targets, count.bytes + 4); /* the ends are learned */
    for (int64_t i = 38; i < 56; i++) { /* beyond the text */
        assert_int_equal(targets[i], -1);
        assert_int_equal(starts[i], i % 7);
    }
    tr_data_close(&data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_its_files_sorted_by_path_and_joined_by_end_of_text),
        cmocka_unit_test(the_sum_tells_documents_apart),
        cmocka_unit_test(every_epoch_reads_each_window_once_in_another_order_and_at_another_shift),
        cmocka_unit_test(rows_of_a_batch_do_not_depend_on_who_asks_for_them),
        cmocka_unit_test(validation_is_the_end_of_the_text_cut_at_a_line_end),
        cmocka_unit_test(validation_counts_every_byte_once),
        cmocka_unit_test(bits_per_byte_of_one_nat_a_byte_is_log2_of_e),
        cmocka_unit_test(the_smallest_text_that_is_enough_is_taken),
        cmocka_unit_test(bad_data_are_refused_with_a_sentence),
        cmocka_unit_test(text_that_is_no_utf8_is_refused_where_it_begins_to_be_none_unless_bytes_are_asked_for),
        cmocka_unit_test(an_unreadable_file_is_named),
        cmocka_unit_test(a_jsonl_file_is_what_a_folder_of_its_texts_is),
        cmocka_unit_test(lines_that_go_over_the_reader_s_buffer_are_whole),
        cmocka_unit_test(a_bad_line_is_named),
        cmocka_unit_test(apart_every_position_knows_where_its_document_begins_and_an_end_has_no_target),
        cmocka_unit_test(apart_validation_counts_every_byte_but_those_that_begin_a_document),
    };
    return cmocka_run_group_tests_name("lab/data", tests, setup, teardown);
}
