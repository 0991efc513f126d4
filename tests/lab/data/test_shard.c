/* lab/data: shards of tokens are what was written, or are refused with a sentence that names file and offset; data by a
 * tokenizer and data by shards are the same stream. */
#include "base/os.h"
#include "lab/data/data.h"
#include "lab/data/shards.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void must(enum tr_status status, const struct tr_err *err)
{
    if (status != TR_OK)
        fail_msg("%s", err->text);
}

static const char *tokenizer_path(const char *name)
{
    static char path[TR_PATH_BYTES];
    snprintf(path, sizeof path, "%s/tests/lab/token/golden/%s.tokenizer.json", getenv("TRINE_SOURCE_DIR"), name);
    return path;
}

static struct tr_token *open_token(const char *name)
{
    struct tr_token *token;
    struct tr_err err = {""};
    must(tr_token_read(tokenizer_path(name), &token, &err), &err);
    return token;
}

static const uint16_t some_tokens[] = {1, 2, 3, 0, 499, 5, 0};
enum { SOME = sizeof some_tokens / sizeof *some_tokens };

static struct tr_shard write_some(const char *path)
{
    struct tr_shard shard = {.tokens = SOME, .documents = 2, .text_bytes = 20, .vocab = 500, .end = 0};
    struct tr_err err = {""};
    memset(shard.tokenizer, 'a', TR_SHA256_HEX_BYTES - 1);
    must(tr_shard_write(path, &shard, some_tokens, &err), &err);
    return shard;
}

static void a_shard_reads_back_as_it_was_written(void **state)
{
    (void)state;
    const char *path = tr_scratch("a.tokens");
    struct tr_shard wrote = write_some(path), read;
    struct tr_err err = {""};
    uint16_t tokens[SOME];
    must(tr_shard_read_header(path, &read, &err), &err);
    assert_int_equal(read.tokens, SOME);
    assert_int_equal(read.documents, 2);
    assert_int_equal(read.text_bytes, 20);
    assert_int_equal(read.vocab, 500);
    assert_int_equal(read.end, 0);
    assert_int_equal(read.width, 2);
    assert_string_equal(read.tokenizer, wrote.tokenizer);
    assert_string_equal(read.sum, wrote.sum);
    must(tr_shard_read(path, &read, tokens, &err), &err);
    assert_memory_equal(tokens, some_tokens, sizeof tokens);
    struct tr_shard wide = {.tokens = 2, .documents = 1, .text_bytes = 2, .vocab = 70000, .end = -1};
    uint32_t two[] = {69999, 65536}, back[2];
    memset(wide.tokenizer, '0', TR_SHA256_HEX_BYTES - 1);
    must(tr_shard_write(tr_scratch("wide.tokens"), &wide, two, &err), &err);
    must(tr_shard_read_header(tr_scratch("wide.tokens"), &read, &err), &err);
    assert_int_equal(read.width, 4);
    assert_int_equal(read.end, -1);
    must(tr_shard_read(tr_scratch("wide.tokens"), &read, back, &err), &err);
    assert_memory_equal(back, two, sizeof two);
}

/* The file with one field changed; the sentence must say what is wrong with it. */
static void refused(const struct tr_bytes *file, size_t at, int bytes, uint64_t value, const char *sentence)
{
    const char *path = tr_scratch("changed.tokens");
    struct tr_shard shard;
    struct tr_err err = {""};
    char *copy = malloc(file->len);
    uint16_t tokens[SOME];
    assert_non_null(copy);
    memcpy(copy, file->at, file->len);
    for (int i = 0; i < bytes; i++)
        copy[at + (size_t)i] = (char)(value >> (8 * i));
    must(tr_file_write(path, copy, file->len, &err), &err);
    enum tr_status status = tr_shard_read_header(path, &shard, &err);
    if (status == TR_OK)
        status = tr_shard_read(path, &shard, tokens, &err);
    assert_int_equal(status, TR_BAD_INPUT);
    tr_assert_says(err.text, "changed.tokens: ");
    tr_assert_says(err.text, sentence);
    free(copy);
}

static void what_a_shard_cannot_hold_is_refused(void **state)
{
    (void)state;
    write_some(tr_scratch("b.tokens"));
    struct tr_bytes file = tr_scratch_read(tr_scratch("b.tokens"));
    refused(&file, 0, 1, 'X', "is no shard of tokens: it does not begin with \"TRTOKENS\"");
    refused(&file, 8, 4, 2, "offset 8: version 2; this program reads 1");
    refused(&file, 12, 4, 4, "offset 12: tokens of 4 bytes; a vocabulary of 500 has 2");
    refused(&file, 12, 4, 0, "offset 12: tokens of 0 bytes");
    refused(&file, 16, 8, SOME + 1, "142 bytes; its header says 8 tokens of 2 bytes, which makes 144");
    refused(&file, 16, 8, 0, "offset 16: 0 tokens");
    refused(&file, 16, 8, UINT64_MAX / 2, "offset 16: 9223372036854775807 tokens; expected 1 to ");
    refused(&file, 16, 8, (UINT64_C(1) << 63) + SOME, "offset 16: ");
    refused(&file, 24, 8, UINT64_MAX, "counts of documents and bytes cannot be");
    refused(&file, 32, 8, UINT64_MAX, "counts of documents and bytes cannot be");
    refused(&file, 40, 4, 0, "offset 40: a vocabulary of 0 tokens; expected 1 to 1048576");
    refused(&file, 40, 4, UINT32_MAX, "offset 40: a vocabulary of 4294967295 tokens");
    refused(&file, 44, 4, 500, "offset 44: the end of a document is token 500; the vocabulary is 0 to 499");
    refused(&file, 120, 1, 1, "its last 16 bytes are not 0");
    refused(&file, 130, 1, 7, "the file is damaged");
    refused(&file, 80, 1, 0, "the file is damaged");
    tr_bytes_free(&file);
    struct tr_shard shard = {.tokens = SOME, .documents = 2, .text_bytes = 20, .vocab = 400, .end = 0};
    struct tr_err err = {""};
    memset(shard.tokenizer, 'a', TR_SHA256_HEX_BYTES - 1);
    must(tr_shard_write(tr_scratch("beyond.tokens"), &shard, some_tokens, &err), &err);
    uint16_t tokens[SOME];
    assert_int_equal(tr_shard_read(tr_scratch("beyond.tokens"), &shard, tokens, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "beyond.tokens: offset 136: token 499; the vocabulary is 0 to 399");
}

static void a_shard_that_was_cut_off_anywhere_is_refused(void **state)
{
    (void)state;
    write_some(tr_scratch("c.tokens"));
    struct tr_bytes file = tr_scratch_read(tr_scratch("c.tokens"));
    for (size_t length = 1; length < file.len; length++) {
        struct tr_shard shard;
        struct tr_err err = {""};
        must(tr_file_write(tr_scratch("cut.tokens"), file.at, length, &err), &err);
        assert_int_equal(tr_shard_read_header(tr_scratch("cut.tokens"), &shard, &err), TR_BAD_INPUT);
        tr_assert_says(err.text, length < TR_SHARD_HEADER_BYTES ? "begins with a header of 128" : "was cut off");
    }
    tr_bytes_free(&file);
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

static void put_texts(void)
{
    tr_scratch_put_text("texts/a.txt", "the quick brown fox\nit's 12 lazy dogs\n\xFF\xFE bytes\n");
    tr_scratch_put_text("texts/b.txt", "Gr\xC3\xB6\xC3\x9F" "e\n");
    tr_scratch_put_text("texts/c.txt", "and the light over the sea, and the stone\nand a night\n");
}

static enum tr_status encode_texts(const struct tr_token *token, const char *out, int64_t most, struct tr_err *err)
{
    static const char *const names[] = {"texts/a.txt", "texts/b.txt", "texts/c.txt"};
    struct tr_shards shards;
    struct tr_encoder *encoder;
    enum tr_status status = tr_shards_open(&shards, tr_scratch(out), token, tokenizer_path("gpt2"), most, err);
    if (status != TR_OK)
        return status;
    must(tr_encoder_make(token, &encoder, err), err);
    for (int i = 0; i < 3; i++) {
        struct tr_bytes text = tr_scratch_read(tr_scratch(names[i]));
        struct tr_ids ids = {0};
        must(tr_encode(encoder, text.at, text.len, TR_ENCODE_BEFORE, &ids, err), err);
        must(tr_ids_add(&ids, (int32_t)tr_token_end_id(token), err), err);
        must(tr_shards_add(&shards, ids.at, ids.count, err), err);
        tr_shards_end_document(&shards, (int64_t)text.len);
        tr_ids_free(&ids);
        tr_bytes_free(&text);
    }
    tr_encoder_free(encoder);
    return tr_shards_commit(&shards, err);
}

static void text_and_shards_are_the_same_stream(void **state)
{
    (void)state;
    struct tr_token *token = open_token("gpt2");
    struct tr_err err = {""};
    struct tr_data text, shards;
    struct tr_data_config config = {.path = tr_scratch("texts"), .seq_len = 4, .batch = 2, .seed = 3,
                                    .val_fraction = 0.4, .encoding = TR_ENCODING_BYTES, .token = token};
    put_texts();
    must(encode_texts(token, "shards", 7, &err), &err); /* documents go over from one shard to the next */
    must(tr_data_open(&text, &config, &err), &err);
    config.path = tr_scratch("shards");
    must(tr_data_open(&shards, &config, &err), &err);
    assert_int_equal(text.token_count, shards.token_count);
    assert_int_equal(text.byte_count, shards.byte_count);
    assert_int_equal(text.document_count, 3);
    assert_int_equal(shards.document_count, 3);
    assert_int_equal(text.train_tokens, shards.train_tokens);
    int32_t a[8], b[8], c[8], d[8];
    for (int64_t step = 0; step < 20; step++) {
        tr_data_batch(&text, step, 0, 2, a, b, NULL);
        tr_data_batch(&shards, step, 0, 2, c, d, NULL);
        assert_memory_equal(a, c, sizeof a);
        assert_memory_equal(b, d, sizeof b);
        assert_memory_equal(a + 1, b, 3 * sizeof *a);
    }
    tr_data_close(&text);
    tr_data_close(&shards);
    tr_token_free(token);
}

static void data_refused(const struct tr_data_config *config, const char *sentence)
{
    struct tr_data data;
    struct tr_err err = {""};
    assert_int_equal(tr_data_open(&data, config, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, sentence);
}

/* ---- llm.c ------------------------------------------------------------------------------------------------------- */

/* A file as llm.c's data_common.py writes it: tokens of 2 bytes, the header's first three numbers as given. */
static const char *put_llmc(const char *name, const int32_t head[3], const uint16_t *tokens, int64_t count)
{
    uint8_t bytes[4096] = {0};
    for (int i = 0; i < 12; i++)
        bytes[i] = (uint8_t)((uint32_t)head[i / 4] >> 8 * (i % 4));
    for (int64_t i = 0; i < 2 * count; i++)
        bytes[1024 + i] = (uint8_t)(tokens[i / 2] >> 8 * (i % 2));
    tr_scratch_put(name, bytes, (size_t)(1024 + 2 * count));
    return tr_scratch(name);
}

static void a_shard_of_llm_c_is_the_stream_that_the_text_is(void **state)
{
    (void)state;
    struct tr_token *token = open_token("gpt2");
    struct tr_err err = {""};
    struct tr_data text, shard;
    struct tr_data_config config = {.path = tr_scratch("texts"), .seq_len = 4, .batch = 2, .encoding = TR_ENCODING_BYTES,
                                    .token = token};
    uint16_t tokens[1024];
    int32_t ids[1024], back[1024];
    put_texts();
    must(tr_data_open(&text, &config, &err), &err);
    assert_true(text.token_count < 1024);
    tr_data_tokens(&text, 0, text.token_count, ids);
    for (int64_t i = 0; i < text.token_count; i++)
        tokens[i] = (uint16_t)ids[i];
    tokens[text.token_count] = (uint16_t)tr_token_end_id(token);
    const int32_t head[3] = {20240520, 1, (int32_t)text.token_count + 1};
    config.path = put_llmc("llmc/train.bin", head, tokens, text.token_count + 1);
    must(tr_data_open(&shard, &config, &err), &err);
    assert_int_equal(shard.token_count, text.token_count);
    assert_int_equal(shard.document_count, text.document_count);
    assert_int_equal(shard.byte_count, text.byte_count);
    assert_int_equal(shard.end, text.end);
    tr_data_tokens(&shard, 0, shard.token_count, back);
    assert_memory_equal(ids, back, (size_t)text.token_count * sizeof *ids);
    tr_data_close(&text);
    tr_data_close(&shard);
    tr_token_free(token);
}

static void a_shard_of_llm_c_that_lies_is_refused(void **state)
{
    (void)state;
    struct tr_token *token = open_token("gpt2");
    static const uint16_t good[8] = {1, 2, 3, 4, 5, 6, 7, 8}, bad[8] = {1, 2, 3, 65535, 5, 6, 7, 8};
    static const struct {
        int32_t head[3];
        const uint16_t *tokens;
        int64_t count;
        const char *sentence;
    } cases[] = {
        {{20240521, 1, 8}, good, 8, "x.bin: is no shard of llm.c: it begins with 20240521, not with 20240520 or 20240801"},
        {{20240520, 2, 8}, good, 8, "x.bin: offset 4: version 2; this program reads 1"},
        {{20240801, 1, 8}, good, 8, "x.bin: offset 4: version 1; this program reads 7"},
        {{20240520, 1, 0}, good, 0, "x.bin: offset 8: 0 tokens"},
        {{20240520, 1, -1}, good, 8, "x.bin: offset 8: 4294967295 tokens"},
        {{20240520, 1, 9}, good, 8, "x.bin: 1040 bytes; its header says 9 tokens of 2 bytes, which makes 1042"},
        {{20240520, 1, 7}, good, 8, "the file was cut off or added to"},
        {{20240801, 7, 4}, good, 8, "x.bin: has tokens of 4 bytes; the vocabulary of this tokenizer"},
        {{20240520, 1, 8}, bad, 8, "x.bin: offset 1030: token 65535; the vocabulary is 0 to "},
    };
    struct tr_data_config config = {.seq_len = 4, .batch = 1, .token = token};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config.path = put_llmc("x.bin", cases[i].head, cases[i].tokens, cases[i].count);
        data_refused(&config, cases[i].sentence);
    }
    config.path = tr_scratch("x.bin");
    tr_scratch_put_text("x.bin", "some text");
    data_refused(&config, "x.bin: 9 bytes; a shard of llm.c begins with a header of 1024");
    config.token = NULL;
    data_refused(&config, "shards of tokens need the tokenizer that made them");
    tr_token_free(token);
}

/* ---- Megatron ---------------------------------------------------------------------------------------------------- */

/* NAME.idx and NAME.bin as indexed_dataset.py writes them: tokens of that type, sequences and documents as given. */
struct indexed {
    int kind, width;
    const int32_t *lengths, *borders; /* borders: the sequence at which each document begins, and the end */
    int64_t sequences, documents;
    int64_t first_begin;              /* offset of the first sequence: 0 is right */
};

static size_t put_number(uint8_t *to, size_t at, int bytes, int64_t value)
{
    for (int i = 0; i < bytes; i++)
        to[at + (size_t)i] = (uint8_t)((uint64_t)value >> 8 * i);
    return at + (size_t)bytes;
}

static const char *put_indexed(const char *name, const struct indexed *x, const int32_t *tokens, int64_t count)
{
    uint8_t idx[4096], bin[8192];
    char path[64];
    int64_t begin = x->first_begin;
    size_t at = 9, end = 0;
    memcpy(idx, "MMIDIDX\0", 9);
    at = put_number(idx, at, 8, 1);
    at = put_number(idx, at, 1, x->kind);
    at = put_number(idx, at, 8, x->sequences);
    at = put_number(idx, at, 8, x->documents + 1);
    for (int64_t i = 0; i < x->sequences; i++)
        at = put_number(idx, at, 4, x->lengths[i]);
    for (int64_t i = 0; i < x->sequences; begin += x->lengths[i++] * x->width)
        at = put_number(idx, at, 8, begin);
    for (int64_t i = 0; i <= x->documents; i++)
        at = put_number(idx, at, 8, x->borders[i]);
    for (int64_t i = 0; i < count; i++)
        end = put_number(bin, end, x->width, tokens[i]);
    snprintf(path, sizeof path, "%s.bin", name);
    tr_scratch_put(path, bin, end);
    snprintf(path, sizeof path, "%s.idx", name);
    tr_scratch_put(path, idx, at);
    return tr_scratch(path);
}

/* A document of two sequences, an empty one, and two that end with the end token or do not. */
static const int32_t seq_lengths[] = {2, 1, 3, 4}, doc_borders[] = {0, 2, 2, 3, 4};

static void documents_of_megatron_are_documents_whatever_type_their_tokens_have(void **state)
{
    (void)state;
    struct tr_token *token = open_token("gpt2");
    static const struct { int kind, width; } types[] = {{1, 1}, {2, 1}, {3, 2}, {4, 4}, {5, 8}, {8, 2}};
    int32_t end = (int32_t)tr_token_end_id(token), back[16];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        bool has_end = types[i].width > 1; /* the end token does not go into one byte */
        int32_t tokens[] = {1, 2, 3, 4, 5, has_end ? end : 6, 7, 8, 9, 10};
        int32_t expected[13] = {1, 2, 3, end, 4, 5}, count = 6;
        if (!has_end)
            expected[count++] = 6;
        expected[count++] = end;
        for (int k = 7; k <= 10; k++)
            expected[count++] = k;
        struct indexed x = {.kind = types[i].kind, .width = types[i].width, .lengths = seq_lengths,
                            .borders = doc_borders, .sequences = 4, .documents = 4};
        put_indexed("meg/corpus", &x, tokens, 10);
        const char *paths[] = {tr_scratch("meg/corpus.idx"), tr_scratch("meg/corpus.bin"), tr_scratch("meg")};
        for (int k = 0; k < 3; k++) { /* the index, what it is of, and the folder */
            struct tr_data data;
            struct tr_err err = {""};
            struct tr_data_config config = {.path = paths[k], .seq_len = 4, .batch = 1, .token = token};
            must(tr_data_open(&data, &config, &err), &err);
            assert_int_equal(data.token_count, count);
            tr_data_tokens(&data, 0, count, back);
            assert_memory_equal(back, expected, (size_t)count * sizeof *back);
            assert_int_equal(data.document_count, 3);
            assert_int_equal(data.end, end);
            tr_data_close(&data);
        }
    }
    tr_token_free(token);
}

static void an_index_of_megatron_that_lies_is_refused(void **state)
{
    (void)state;
    static const char letters[] = "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true}, "
                                  "\"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {\"a\": 0, \"b\": 10}}}";
    struct tr_token *token = open_token("gpt2"), *endless;
    struct tr_err err = {""};
    must(tr_token_parse("letters", letters, sizeof letters - 1, &endless, &err), &err);
    static const int32_t tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, large[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 60000},
                         negative[] = {1, -2, 3, 4, 5, 6, 7, 8, 9, 10};
    static const int32_t shorter[] = {2, 1, 3, 3}, longer[] = {2, 1, 3, 5}, below[] = {2, -1, 3, 4};
    static const int32_t back[] = {0, 2, 1, 3, 4}, beyond[] = {0, 2, 2, 3, 5}, late[] = {1, 2, 2, 3, 4},
                         early[] = {0, 2, 2, 3, 3};
    const struct {
        struct indexed x;
        const int32_t *tokens;
        const char *sentence;
    } cases[] = {
        {{4, 4, shorter, doc_borders, 4, 4, 0}, tokens, "m.idx: its sequences end at offset 36 of the .bin, which has 40"},
        {{4, 4, longer, doc_borders, 4, 4, 0}, tokens, "m.idx: sequence 3 has 5 tokens of 4 bytes from offset 24 of the .bin"},
        {{4, 4, below, doc_borders, 4, 4, 0}, tokens, "m.idx: sequence 1 has -1 tokens"},
        {{4, 4, seq_lengths, doc_borders, 4, 4, 4}, tokens, "m.idx: sequence 0 begins at offset 4 of the .bin, and the one "
                                                            "before ends at 0"},
        {{4, 4, seq_lengths, back, 4, 4, 0}, tokens, "m.idx: border 2 of 5 between documents is at sequence 1"},
        {{4, 4, seq_lengths, beyond, 4, 4, 0}, tokens, "m.idx: border 4 of 5 between documents is at sequence 5"},
        {{4, 4, seq_lengths, late, 4, 4, 0}, tokens, "m.idx: border 0 of 5 between documents is at sequence 1"},
        {{4, 4, seq_lengths, early, 4, 4, 0}, tokens, "m.idx: border 4 of 5 between documents is at sequence 3"},
        {{7, 4, seq_lengths, doc_borders, 4, 4, 0}, tokens, "m.idx: offset 17: data of type 7; tokens are of type 1 (uint8)"},
        {{4, 4, seq_lengths, doc_borders, 4, 0, 0}, tokens, "m.idx: offset 18: 4 sequences, 1 borders of documents"},
        {{4, 4, seq_lengths, doc_borders, 4, 4, 0}, large, "m.bin: offset 36: token 60000; the vocabulary is 0 to "},
        {{4, 4, seq_lengths, doc_borders, 4, 4, 0}, negative, "m.bin: offset 4: token -2; the vocabulary is 0 to "},
    };
    struct tr_data_config config = {.seq_len = 4, .batch = 1, .token = token};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config.path = put_indexed("m", &cases[i].x, cases[i].tokens, 10);
        data_refused(&config, cases[i].sentence);
    }
    struct indexed good = {.kind = 4, .width = 4, .lengths = seq_lengths, .borders = doc_borders, .sequences = 4,
                           .documents = 4};
    config.path = put_indexed("m", &good, tokens, 10);
    config.token = endless;
    data_refused(&config, "m.idx: has 4 documents, and the tokenizer no token to put between them");
    config.token = token;
    struct tr_bytes file = tr_scratch_read(config.path);
    for (size_t length = 1; length < file.len; length++) {
        tr_scratch_put("m.idx", file.at, length);
        data_refused(&config, length < 34 ? "begins with a header of 34" : "the file was cut off");
    }
    tr_scratch_put("m.idx", file.at, file.len);
    tr_scratch_put("m.bin", "12345", 5);
    data_refused(&config, "m.idx: the .bin beside it has 5 bytes, which are no tokens of 4 bytes");
    assert_int_equal(unlink(tr_scratch("m.bin")), 0);
    data_refused(&config, "m.bin: ");
    tr_bytes_free(&file);
    tr_token_free(token);
    tr_token_free(endless);
}

static void bits_per_byte_count_the_bytes_of_the_text(void **state)
{
    (void)state;
    struct tr_token *token = open_token("gpt2");
    struct tr_err err = {""};
    struct tr_data data;
    struct tr_data_config config = {.path = tr_scratch("texts"), .seq_len = 5, .batch = 1, .val_fraction = 0.7,
                                    .encoding = TR_ENCODING_BYTES, .token = token};
    put_texts();
    must(tr_data_open(&data, &config, &err), &err);
    int32_t ids[256], tokens[5], targets[5];
    int64_t bytes = 0, targets_seen = 0;
    struct tr_text rest = {0};
    tr_data_tokens(&data, data.train_tokens + 1, data.val_tokens - 1, ids);
    must(tr_decode(token, ids, data.val_tokens - 1, TR_DECODE_NO_SPECIAL, &rest, &err), &err);
    for (int64_t i = 0; i < data.val_windows; i++) {
        struct tr_val_count count = tr_data_val_batch(&data, i, 1, tokens, targets, NULL);
        bytes += count.bytes;
        targets_seen += count.targets;
    }
    assert_int_equal(targets_seen, data.val_tokens - 1);
    assert_int_equal(bytes, rest.len);
    tr_text_clear(&rest);
    tr_data_tokens(&data, 0, data.train_tokens, ids);
    must(tr_decode(token, ids, data.train_tokens, 0, &rest, &err), &err);
    assert_true(rest.at[rest.len - 1] == '\n' || ids[data.train_tokens - 1] == tr_token_end_id(token));
    tr_text_free(&rest);
    tr_data_close(&data);
    tr_token_free(token);
}

static void text_for_a_tokenizer_is_utf8_too(void **state)
{
    (void)state;
    struct tr_token *token = open_token("gpt2");
    struct tr_data_config config = {.path = tr_scratch("texts"), .seq_len = 4, .batch = 1, .token = token};
    put_texts();
    data_refused(&config, "texts/a.txt: offset 38: the byte 0xff begins no character of UTF-8");
    tr_token_free(token);
}

static void shards_of_another_tokenizer_or_among_other_files_are_refused(void **state)
{
    (void)state;
    struct tr_token *token = open_token("gpt2"), *other = open_token("smollm"), *endless = open_token("prefix");
    struct tr_err err = {""};
    char path[TR_PATH_BYTES];
    put_texts();
    must(encode_texts(token, "sh", 100, &err), &err);
    struct tr_data_config config = {.path = tr_scratch("sh"), .seq_len = 4, .batch = 1, .token = other};
    data_refused(&config, "shard-00000.tokens: was made with another tokenizer: its vocabulary has 1340 tokens");
    config.token = NULL;
    data_refused(&config, "shards of tokens need the tokenizer that made them");
    must(tr_data_find_tokenizer(config.path, "", path, &err), &err);
    tr_assert_says(path, "sh/tokenizer.json");
    must(tr_data_find_tokenizer(config.path, "given.json", path, &err), &err);
    assert_string_equal(path, "given.json");
    must(tr_data_find_tokenizer(tr_scratch("texts"), "", path, &err), &err);
    assert_string_equal(path, "");
    assert_int_equal(encode_texts(token, "sh", 100, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "sh: is there already");
    config.token = token;
    tr_scratch_put_text("sh/notes.txt", "hello");
    data_refused(&config, "sh/notes.txt: keep them apart");
    tr_scratch_put_text("lone/x.tokens", "TRTOKENS, it says");
    config.path = tr_scratch("lone");
    data_refused(&config, "x.tokens: 17 bytes; a shard of tokens begins with a header of 128");
    assert_int_equal(tr_data_find_tokenizer(config.path, "", path, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "there is no tokenizer.json beside the shards: name it with data.tokenizer");
    tr_token_free(token);
    tr_token_free(other);
    tr_token_free(endless);
}

static void an_interrupted_set_of_shards_leaves_nothing(void **state)
{
    (void)state;
    struct tr_token *token = open_token("gpt2");
    struct tr_shards shards;
    struct tr_err err = {""};
    int32_t ids[] = {1, 2, 3};
    must(tr_shards_open(&shards, tr_scratch("gone/"), token, tokenizer_path("gpt2"), 2, &err), &err);
    must(tr_shards_add(&shards, ids, 3, &err), &err);
    tr_shards_abort(&shards);
    assert_false(tr_file_exists(tr_scratch("gone")));
    assert_false(tr_file_exists(tr_scratch("gone.tmp")));
    must(tr_shards_open(&shards, tr_scratch("empty"), token, tokenizer_path("gpt2"), 2, &err), &err);
    assert_int_equal(tr_shards_commit(&shards, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "the text gives no token");
    assert_false(tr_file_exists(tr_scratch("empty.tmp")));
    tr_token_free(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_reads_back_as_it_was_written),
        cmocka_unit_test(what_a_shard_cannot_hold_is_refused),
        cmocka_unit_test(a_shard_that_was_cut_off_anywhere_is_refused),
        cmocka_unit_test(text_and_shards_are_the_same_stream),
        cmocka_unit_test(a_shard_of_llm_c_is_the_stream_that_the_text_is),
        cmocka_unit_test(a_shard_of_llm_c_that_lies_is_refused),
        cmocka_unit_test(documents_of_megatron_are_documents_whatever_type_their_tokens_have),
        cmocka_unit_test(an_index_of_megatron_that_lies_is_refused),
        cmocka_unit_test(bits_per_byte_count_the_bytes_of_the_text),
        cmocka_unit_test(text_for_a_tokenizer_is_utf8_too),
        cmocka_unit_test(shards_of_another_tokenizer_or_among_other_files_are_refused),
        cmocka_unit_test(an_interrupted_set_of_shards_leaves_nothing),
    };
    return cmocka_run_group_tests_name("lab/data shards", tests, tr_scratch_setup, tr_scratch_teardown);
}
