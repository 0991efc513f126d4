/* lab/token against Hugging Face's tokenizers: the vectors of scripts/peers/token_golden.py, token for token and border
 * for border. */
#include "base/doc.h"
#include "base/os.h"
#include "lab/token/token.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct peer {
    const char *name;
    struct tr_token *token;
    struct tr_encoder *encoder;
    struct tr_doc *doc;
    const struct tr_node *root;
    struct tr_ids ids, pieces;
};

static void must(enum tr_status status, const struct tr_err *err)
{
    if (status != TR_OK)
        fail_msg("%s", err->text);
}

static const char *golden(const char *name, const char *ending)
{
    static char path[TR_PATH_BYTES];
    snprintf(path, sizeof path, "%s/tests/lab/token/golden/%s.%s.json", getenv("TRINE_SOURCE_DIR"), name, ending);
    return path;
}

static struct peer open_peer(const char *name)
{
    struct peer peer = {.name = name};
    struct tr_err err = {""};
    must(tr_token_read(golden(name, "tokenizer"), &peer.token, &err), &err);
    must(tr_encoder_make(peer.token, &peer.encoder, &err), &err);
    must(tr_doc_read(golden(name, "golden"), TR_DOC_JSON, &peer.doc, &err), &err);
    peer.root = tr_doc_root(peer.doc);
    return peer;
}

static void close_peer(struct peer *peer)
{
    tr_ids_free(&peer->ids);
    tr_ids_free(&peer->pieces);
    tr_doc_free(peer->doc);
    tr_encoder_free(peer->encoder);
    tr_token_free(peer->token);
}

static enum tr_status note_piece(void *context, const char *piece, size_t bytes, struct tr_err *err)
{
    (void)piece;
    return tr_ids_add(context, (int32_t)bytes, err);
}

static void encode(struct peer *peer, const char *text, size_t bytes)
{
    struct tr_err err = {""};
    peer->ids.count = peer->pieces.count = 0;
    must(tr_encode(peer->encoder, text, bytes, 0, &peer->ids, &err), &err);
    must(tr_encoder_pieces(peer->encoder, text, bytes, note_piece, &peer->pieces, &err), &err);
}

static void print_ids(struct tr_text *out, const struct tr_ids *ids)
{
    for (int64_t i = 0; i < ids->count; i++)
        tr_text_printf(out, " %d", ids->at[i]);
}

static void compare_list(const struct peer *peer, const char *what, const struct tr_node *text,
                         const struct tr_node *wanted, const struct tr_ids *have)
{
    bool same = wanted->count == have->count;
    for (int64_t i = 0; i < wanted->count && same; i++)
        same = wanted->children[i].integer == have->at[i];
    if (same)
        return;
    struct tr_text out = {0};
    tr_text_append(&out, "have");
    print_ids(&out, have);
    tr_text_append(&out, ", expected");
    for (int64_t i = 0; i < wanted->count; i++)
        tr_text_printf(&out, " %lld", (long long)wanted->children[i].integer);
    tr_text_append(&out, " for \"");
    tr_text_append_json(&out, text->string, (size_t)text->count);
    fail_msg("%s: %s: %s\"", peer->name, what, tr_text_str(&out));
}

static void compare_cases(struct peer *peer)
{
    const struct tr_node *cases = tr_doc_find(peer->root, "cases");
    assert_true(cases->count > 5000);
    for (int64_t i = 0; i < cases->count; i++) {
        const struct tr_node *part = cases->children[i].children;
        encode(peer, part[0].string, (size_t)part[0].count);
        compare_list(peer, "pieces", &part[0], &part[2], &peer->pieces);
        compare_list(peer, "tokens", &part[0], &part[1], &peer->ids);
    }
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

static uint32_t crc_byte(uint32_t crc, uint32_t byte)
{
    static uint32_t table[256];
    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? c >> 1 ^ 0xEDB88320u : c >> 1;
            table[i] = c;
        }
    return crc >> 8 ^ table[(crc ^ byte) & 0xFF];
}

static uint32_t crc_ints(uint32_t crc, const int32_t *value, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        for (int byte = 0; byte < 4; byte++)
            crc = crc_byte(crc, (uint32_t)value[i] >> (8 * byte));
    return crc;
}

static uint32_t crc_text(struct peer *peer, uint32_t crc, const struct tr_text *text)
{
    int32_t after_ids = -1, after_pieces = -2;
    encode(peer, tr_text_str(text), text->len);
    crc = crc_ints(crc, peer->ids.at, peer->ids.count);
    crc = crc_ints(crc, &after_ids, 1);
    crc = crc_ints(crc, peer->pieces.at, peer->pieces.count);
    return crc_ints(crc, &after_pieces, 1);
}

static uint32_t wanted_crc(const struct tr_node *hex, int64_t index)
{
    char digits[9] = {0};
    assert_true(8 * index + 8 <= hex->count);
    memcpy(digits, hex->string + 8 * index, 8);
    return (uint32_t)strtoul(digits, NULL, 16);
}

static void append_scalar(struct tr_text *out, int c)
{
    if (c < 0x80)
        tr_text_char(out, (char)c);
    else if (c < 0x800)
        tr_text_printf(out, "%c%c", 0xC0 | c >> 6, 0x80 | (c & 0x3F));
    else if (c < 0x10000)
        tr_text_printf(out, "%c%c%c", 0xE0 | c >> 12, 0x80 | (c >> 6 & 0x3F), 0x80 | (c & 0x3F));
    else
        tr_text_printf(out, "%c%c%c%c", 0xF0 | c >> 18, 0x80 | (c >> 12 & 0x3F), 0x80 | (c >> 6 & 0x3F),
                       0x80 | (c & 0x3F));
}

/* Every scalar value in the place of each # of `form`. */
static void compare_scalars(struct peer *peer, const char *key, const char *form)
{
    const struct tr_node *hex = tr_doc_find(peer->root, key);
    struct tr_text text = {0};
    assert_non_null(hex);
    for (int first = 0; first < 0x110000; first += 256) {
        uint32_t crc = 0xFFFFFFFFu;
        for (int c = first; c < first + 256; c++) {
            if (c >= 0xD800 && c < 0xE000)
                continue;
            tr_text_clear(&text);
            for (const char *at = form; *at; at++)
                if (*at == '#')
                    append_scalar(&text, c);
                else
                    tr_text_char(&text, *at);
            crc = crc_text(peer, crc, &text);
        }
        if (~crc != wanted_crc(hex, first / 256) && !(first >= 0xD800 && first < 0xE000))
            fail_msg("%s: %s: a character of U+%04X to U+%04X gives other tokens or pieces", peer->name, key, first,
                     first + 255);
    }
    tr_text_free(&text);
}

static void compare_triples(struct peer *peer)
{
    const struct tr_node *letters = tr_doc_find(peer->root, "letters"), *hex = tr_doc_find(peer->root, "triples");
    struct tr_text text = {0};
    for (int64_t i = 0; i < letters->count * letters->count; i++) {
        const char *a = letters->children[i / letters->count].string, *b = letters->children[i % letters->count].string;
        uint32_t crc = 0xFFFFFFFFu;
        for (int64_t k = 0; k < letters->count; k++) {
            tr_text_clear(&text);
            tr_text_printf(&text, "%s%s%s", a, b, letters->children[k].string);
            crc = crc_text(peer, crc, &text);
        }
        if (~crc != wanted_crc(hex, i)) {
            tr_text_clear(&text);
            tr_text_append_json(&text, a, strlen(a));
            tr_text_append(&text, " ");
            tr_text_append_json(&text, b, strlen(b));
            fail_msg("%s: triples that begin with %s", peer->name, tr_text_str(&text));
        }
    }
    tr_text_free(&text);
}

static void compare_around(struct peer *peer)
{
    struct tr_err err = {""};
    struct tr_node text = {.string = "the cat", .count = 7};
    peer->ids.count = 0;
    must(tr_encode(peer->encoder, "the cat", 7, TR_ENCODE_AROUND, &peer->ids, &err), &err);
    compare_list(peer, "with the tokens around a text", &text, tr_doc_find(peer->root, "around"), &peer->ids);
}

static void compare_all(const char *name)
{
    struct peer peer = open_peer(name);
    compare_cases(&peer);
    compare_triples(&peer);
    compare_around(&peer);
    if (tr_doc_find(peer.root, "alone")) {
        compare_scalars(&peer, "alone", "#");
        compare_scalars(&peer, "among", "x#y #!#1#1 #\n# '#");
    }
    close_peer(&peer);
}

static void gpt2_is_that_of_hugging_face(void **state) { (void)state, compare_all("gpt2"); }
static void a_space_before_each_part_is_that_of_hugging_face(void **state) { (void)state, compare_all("prefix"); }
static void llama3_is_that_of_hugging_face(void **state) { (void)state, compare_all("llama3"); }
static void qwen2_is_that_of_hugging_face(void **state) { (void)state, compare_all("qwen2"); }
static void smollm_is_that_of_hugging_face(void **state) { (void)state, compare_all("smollm"); }
static void added_tokens_are_those_of_hugging_face(void **state) { (void)state, compare_all("added"); }

static void what_is_written_reads_back_as_the_same_tokenizer(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "prefix", "llama3", "qwen2", "smollm", "added"};
    for (int i = 0; i < 6; i++) {
        struct tr_token *token, *again;
        struct tr_text json = {0}, twice = {0};
        struct tr_err err = {""};
        must(tr_token_read(golden(names[i], "tokenizer"), &token, &err), &err);
        must(tr_token_json(token, &json, &err), &err);
        must(tr_token_parse("again", tr_text_str(&json), json.len, &again, &err), &err);
        assert_string_equal(tr_token_sha256(token), tr_token_sha256(again));
        must(tr_token_json(again, &twice, &err), &err);
        assert_string_equal(tr_text_str(&json), tr_text_str(&twice));
        tr_text_free(&json);
        tr_text_free(&twice);
        tr_token_free(token);
        tr_token_free(again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_is_that_of_hugging_face),
        cmocka_unit_test(a_space_before_each_part_is_that_of_hugging_face),
        cmocka_unit_test(llama3_is_that_of_hugging_face),
        cmocka_unit_test(qwen2_is_that_of_hugging_face),
        cmocka_unit_test(smollm_is_that_of_hugging_face),
        cmocka_unit_test(added_tokens_are_those_of_hugging_face),
        cmocka_unit_test(what_is_written_reads_back_as_the_same_tokenizer),
    };
    return cmocka_run_group_tests_name("lab/token against Hugging Face", tests, NULL, NULL);
}
