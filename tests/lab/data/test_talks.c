/* lab/data: conversations are packed whole into rows, do not see each other, and nothing but replies is a target. */
#include "lab/data/data.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TALKS = 50, LENGTH = 64, ROWS_MAX = 64 };

static struct tr_token *token;
static const struct tr_chat *chat;
static struct tr_encoder *encoder;

static void must(enum tr_status status, const struct tr_err *err)
{
    if (status != TR_OK)
        fail_msg("%s", err->text);
}

static int setup(void **state)
{
    char path[TR_PATH_BYTES];
    struct tr_err err = {""};
    snprintf(path, sizeof path, "%s/tests/lab/chat/golden.tokenizer.json", getenv("TRINE_SOURCE_DIR"));
    if (tr_token_read(path, &token, &err) != TR_OK || tr_chat_choose("chatml", "", 0, "", &chat, &err) != TR_OK ||
        tr_encoder_make(token, &encoder, &err) != TR_OK)
        return -1;
    return tr_scratch_setup(state);
}

static int teardown(void **state)
{
    tr_encoder_free(encoder);
    tr_token_free(token);
    return tr_scratch_teardown(state);
}

/* Conversation i asks "i?" and answers with a word i times, so that lengths differ and each is recognised. */
static struct tr_data_config put_talks(int count)
{
    struct tr_text text = {0};
    for (int i = 0; i < count; i++) {
        tr_text_printf(&text, "{\"messages\": [{\"role\": \"user\", \"content\": \"%d?\"}, {\"role\": \"assistant\", \"content\": \"",
                       i);
        for (int k = 0; k < i % 37; k++)
            tr_text_append(&text, "ab");
        tr_text_append(&text, "\"}]}\n");
    }
    tr_scratch_put("talks.jsonl", tr_text_str(&text), text.len);
    tr_text_free(&text);
    return (struct tr_data_config){.path = tr_scratch("talks.jsonl"), .seq_len = LENGTH, .batch = 4, .seed = 3,
                                   .val_fraction = 0.2, .token = token, .chat = chat};
}

/* What conversation i must be, cut to a row. */
static int64_t talk_of(int i, int32_t ids[LENGTH], bool learned[LENGTH])
{
    char question[16], answer[128] = "";
    struct tr_chat_text text = {0};
    struct tr_chat_tokens tokens = {0};
    struct tr_err err = {""};
    snprintf(question, sizeof question, "%d?", i);
    for (int k = 0; k < i % 37; k++)
        strcat(answer, "ab");
    struct tr_message messages[] = {{TR_ROLE_USER, {question, (int64_t)strlen(question)}},
                                    {TR_ROLE_ASSISTANT, {answer, (int64_t)strlen(answer)}}};
    must(tr_chat_render(chat, messages, 2, false, &text, &err), &err);
    must(tr_chat_encode(chat, encoder, token, &text, &tokens, &err), &err);
    int64_t count = tokens.ids.count < LENGTH ? tokens.ids.count : LENGTH;
    memcpy(ids, tokens.ids.at, (size_t)count * sizeof *ids);
    memcpy(learned, tokens.learned, (size_t)count * sizeof *learned);
    tr_chat_text_free(&text);
    tr_chat_tokens_free(&tokens);
    return count;
}

/* Takes a row apart again by its starts; each document must be one of the conversations, or the rest. */
static void read_row(const int32_t *tokens, const int32_t *targets, const int32_t *starts, int seen[TALKS])
{
    for (int64_t begin = 0, end; begin < LENGTH; begin = end) {
        for (end = begin; end < LENGTH && starts[end] == begin; end++)
            ;
        assert_true(end > begin);
        int found = -1;
        for (int i = 0; i < TALKS && found < 0; i++) {
            int32_t ids[LENGTH];
            bool learned[LENGTH];
            int64_t count = talk_of(i, ids, learned);
            if (count != end - begin || memcmp(tokens + begin, ids, (size_t)count * sizeof *ids) != 0)
                continue;
            found = i;
            for (int64_t k = 0; k < count; k++)
                assert_int_equal(targets[begin + k], k + 1 < count && learned[k + 1] ? ids[k + 1] : -1);
        }
        if (found >= 0) {
            seen[found]++;
            continue;
        }
        assert_int_equal(end, LENGTH); /* the rest of the row */
        for (int64_t k = begin; k < end; k++) {
            assert_int_equal(tokens[k], 0);
            assert_int_equal(targets[k], -1);
        }
    }
}

static void each_conversation_is_once_in_a_row_alone_and_its_replies_are_the_targets(void **state)
{
    (void)state;
    struct tr_data_config config = put_talks(TALKS);
    struct tr_data data;
    struct tr_err err = {""};
    int32_t tokens[LENGTH], targets[LENGTH], starts[LENGTH];
    int train_seen[TALKS] = {0}, val_seen[TALKS] = {0};
    must(tr_data_open(&data, &config, &err), &err);
    assert_true(data.apart);
    assert_int_equal(data.document_count, TALKS);
    assert_true(data.train_windows > 1 && data.train_windows < ROWS_MAX);
    int64_t learned = 0;
    for (int64_t row = 0; row < data.train_windows; row++) { /* an epoch: every row once */
        learned += tr_data_batch(&data, row / config.batch, row % config.batch, 1, tokens, targets, starts);
        read_row(tokens, targets, starts, train_seen);
    }
    for (int64_t row = 0; row < data.val_windows_all; row++) {
        struct tr_val_count count = tr_data_val_batch(&data, row, 1, tokens, targets, starts);
        learned += count.targets;
        read_row(tokens, targets, starts, val_seen);
    }
    for (int i = 0; i < TALKS; i++) { /* the last fifth is for validation */
        assert_int_equal(train_seen[i], i < 40);
        assert_int_equal(val_seen[i], i >= 40);
    }
    assert_int_equal(learned, data.learned_count);
    assert_true(data.talk_tokens > data.token_count * 8 / 10); /* rows are well filled */
    tr_data_close(&data);
}

static void evaluation_takes_all_conversations_and_counts_the_bytes_of_replies(void **state)
{
    (void)state;
    struct tr_data_config config = put_talks(7);
    struct tr_data data;
    struct tr_err err = {""};
    int32_t tokens[4 * LENGTH], targets[4 * LENGTH], starts[4 * LENGTH];
    config.only_val = true;
    must(tr_data_open(&data, &config, &err), &err);
    assert_true(data.val_windows <= 4);
    struct tr_val_count count = tr_data_val_batch(&data, 0, 4, tokens, targets, starts);
    assert_int_equal(count.bytes, 2 * (0 + 1 + 2 + 3 + 4 + 5 + 6)); /* the token that ends a turn is no text */
    assert_int_equal(count.targets, data.learned_count);
    tr_data_close(&data);
}

static void a_conversation_longer_than_a_row_loses_its_end_and_is_counted(void **state)
{
    (void)state;
    struct tr_data_config config = put_talks(TALKS);
    struct tr_data data;
    struct tr_err err = {""};
    int64_t longer = 0;
    config.seq_len = 24;
    for (int i = 0; i < TALKS; i++) {
        int32_t ids[LENGTH];
        bool learned[LENGTH];
        longer += talk_of(i, ids, learned) > 24;
    }
    must(tr_data_open(&data, &config, &err), &err);
    assert_true(longer > 0);
    assert_int_equal(data.cut_count, longer);
    tr_data_close(&data);
}

static void refuse(const char *text, const char *sentence)
{
    struct tr_data_config config = put_talks(2);
    struct tr_data data;
    struct tr_err err = {""};
    tr_scratch_put_text("talks.jsonl", text);
    assert_int_equal(tr_data_open(&data, &config, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, sentence);
}

static void what_is_no_conversation_is_named_by_its_line(void **state)
{
    (void)state;
#define GOOD "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n"
    refuse(GOOD "{\"text\": \"a\"}\n", "talks.jsonl:2: ");
    refuse(GOOD "\n{\"messages\": [{\"role\": \"robot\", \"content\": \"a\"}]}\n", "talks.jsonl:3: messages[0].role");
    refuse(GOOD "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", "talks.jsonl:2: messages: none of them is of the "
                                                                      "assistant");
    refuse(GOOD "{\"messages\": [", "talks.jsonl:2:");
    refuse(GOOD, "too small: of 1 conversations 1 are for training and 0 for validation");
    struct tr_data_config config = put_talks(2);
    struct tr_data data;
    struct tr_err err = {""};
    bool is_chat;
    must(tr_data_is_chat(config.path, &is_chat, &err), &err);
    assert_true(is_chat);
    config.chat = NULL; /* who reads documents is told */
    assert_int_equal(tr_data_open(&data, &config, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "talks.jsonl:1: is a conversation (\"messages\"), and only documents (\"text\") are read here");
    tr_scratch_put_text("mixed/a.jsonl", GOOD GOOD);
    tr_scratch_put_text("mixed/b.txt", "text");
    config.path = tr_scratch("mixed");
    config.chat = chat;
    assert_int_equal(tr_data_open(&data, &config, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "mixed/b.txt: is no *.jsonl, and the data are conversations");
    tr_scratch_put_text("text.jsonl", "{\"text\": \"a\"}\n");
    must(tr_data_is_chat(tr_scratch("text.jsonl"), &is_chat, &err), &err);
    assert_false(is_chat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_conversation_is_once_in_a_row_alone_and_its_replies_are_the_targets),
        cmocka_unit_test(evaluation_takes_all_conversations_and_counts_the_bytes_of_replies),
        cmocka_unit_test(a_conversation_longer_than_a_row_loses_its_end_and_is_counted),
        cmocka_unit_test(what_is_no_conversation_is_named_by_its_line),
    };
    return cmocka_run_group_tests_name("lab/data conversations", tests, setup, teardown);
}
