/* Data that are damaged at any place are refused, and the sentence names the file and the place: row 17. */
#include "lab/data/data.h"
#include "lab/data/shards.h"
#include "lib/faults.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT = 300, TOKENS = 40, HEADER = TR_SHARD_HEADER_BYTES, LLMC = TR_SHARD_LLMC_HEADER_BYTES };

static struct tr_token *token;

/* `bytes` as the file `name`, read as data, must be refused with a sentence of the file and `place`. */
static void must_be_refused(const char *name, const void *bytes, size_t count, const char *place)
{
    struct tr_data data;
    struct tr_err err = {""};
    char expected[128];
    struct tr_data_config config = {.path = tr_scratch(name), .seq_len = 4, .batch = 1, .token = token};
    tr_scratch_put(name, bytes, count);
    if (tr_data_open(&data, &config, &err) != TR_BAD_INPUT)
        fail_msg("%s was taken, though damaged (%s)", name, place);
    snprintf(expected, sizeof expected, "%s: %s", name, place);
    tr_assert_says(err.text, expected);
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void a_byte_that_is_no_utf8_is_found_wherever_it_stands(void **state)
{
    (void)state;
    static const unsigned char bad[] = {0x00, 0x80, 0xc0, 0xc3, 0xe2, 0xf5, 0xff};
    char text[TEXT], place[64];
    int64_t tried = 0;
    for (size_t at = 2; at < TEXT; at += (size_t)fault_tries(7, 1)) /* two such bytes at the beginning are UTF-16's */
        for (size_t b = 0; b < sizeof bad; b++, tried++) {
            for (size_t i = 0; i < TEXT; i++)
                text[i] = "the sea and the light\n"[i % 22];
            text[at] = (char)bad[b];
            snprintf(place, sizeof place, "offset %zu: ", at);
            must_be_refused("text.txt", text, TEXT, place);
        }
    fault_row("17", "a byte that is no UTF-8, or 0, at any place of a text", "each of 7 bytes at each offset", tried, tried,
              "`FILE: offset N: the byte 0xff begins no character of UTF-8 ...`, exit status 2");
}

/* ---- shards ------------------------------------------------------------------------------------------------------ */

static struct tr_bytes good_shard(void)
{
    struct tr_shard shard = {.tokens = TOKENS, .documents = 2, .text_bytes = 200, .vocab = tr_token_vocab(token),
                             .end = tr_token_end_id(token)};
    struct tr_err err = {""};
    uint16_t tokens[TOKENS];
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = (uint16_t)(i * 11 % 400);
    strcpy(shard.tokenizer, tr_token_sha256(token));
    assert_int_equal(tr_shard_write(tr_scratch("good.tokens"), &shard, tokens, &err), TR_OK);
    return tr_scratch_read(tr_scratch("good.tokens"));
}

/* Numbers of documents and bytes of text (offset 24 to 39) are what the shard says: nothing else knows them. */
static bool is_a_claim(size_t at) { return at >= 24 && at < 40; }

static void a_flipped_bit_of_a_shard_is_found(void **state)
{
    (void)state;
    struct tr_bytes file = good_shard();
    char *bytes = file.at;
    int64_t tried = 0;
    for (size_t at = 0; at < file.len; at++)
        for (int bit = 0; bit < 8 && !is_a_claim(at); bit += fault_tries(3, 1), tried++) {
            bytes[at] ^= (char)(1 << bit);
            must_be_refused("flipped.tokens", bytes, file.len, "");
            bytes[at] ^= (char)(1 << bit);
        }
    tr_bytes_free(&file);
    fault_row("17", "a flipped bit anywhere in a shard of tokens, but for its counts of documents and bytes", "each bit in turn",
              tried, tried, "`FILE.tokens: the file is damaged: ...`, or the field and its offset; exit status 2");
}

static void a_shard_that_is_cut_off_is_found(void **state)
{
    (void)state;
    struct tr_bytes file = good_shard();
    int64_t tried = 0;
    for (size_t length = 1; length < file.len; length++, tried++)
        must_be_refused("cut.tokens", file.at, length, "");
    tr_bytes_free(&file);
    fault_row("17", "a shard of tokens that is cut off", "each length", tried, tried,
              "`FILE.tokens: N bytes; its header says ...: the file was cut off or added to`, exit status 2");
}

static void an_id_beyond_the_vocabulary_is_found_wherever_it_stands(void **state)
{
    (void)state;
    unsigned char bytes[LLMC + 2 * TOKENS] = {0};
    const uint32_t head[3] = {20240520, 1, TOKENS};
    char place[64];
    int64_t tried = 0;
    for (size_t i = 0; i < sizeof head; i++)
        bytes[i] = (unsigned char)(head[i / 4] >> 8 * (i % 4));
    for (size_t at = 0; at < TOKENS; at++, tried++) {
        bytes[LLMC + 2 * at] = bytes[LLMC + 2 * at + 1] = 0xff; /* 65535 */
        snprintf(place, sizeof place, "offset %zu: token 65535", LLMC + 2 * at);
        must_be_refused("beyond.bin", bytes, sizeof bytes, place);
        bytes[LLMC + 2 * at] = bytes[LLMC + 2 * at + 1] = 0;
    }
    for (size_t length = 1; length < sizeof bytes; length += (size_t)fault_tries(5, 1), tried++)
        must_be_refused("short.bin", bytes, length, "");
    fault_row("17", "a shard of llm.c with an id beyond the vocabulary, or cut off", "each token in turn, each length", tried,
              tried, "`FILE.bin: offset N: token 65535; the vocabulary is 0 to 50256`, exit status 2");
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
    char path[TR_PATH_BYTES];
    struct tr_err err = {""};
    snprintf(path, sizeof path, "%s/tests/lab/token/golden/gpt2.tokenizer.json", getenv("TRINE_SOURCE_DIR"));
    if (tr_scratch_setup(state) != 0 || tr_token_read(path, &token, &err) != TR_OK)
        return -1;
    return 0;
}

static int teardown(void **state)
{
    tr_token_free(token);
    return tr_scratch_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_that_is_no_utf8_is_found_wherever_it_stands),
        cmocka_unit_test(a_flipped_bit_of_a_shard_is_found),
        cmocka_unit_test(a_shard_that_is_cut_off_is_found),
        cmocka_unit_test(an_id_beyond_the_vocabulary_is_found_wherever_it_stands),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
