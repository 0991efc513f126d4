#include "lab/data/shard.h"

#include "base/num.h"
#include "base/os.h"
#include "lab/data/megatron.h"

#include <string.h>

static const char magic[8] = {'T', 'R', 'T', 'O', 'K', 'E', 'N', 'S'};
enum { AT_VERSION = 8, AT_WIDTH = 12, AT_TOKENS = 16, AT_DOCUMENTS = 24, AT_TEXT_BYTES = 32, AT_VOCAB = 40, AT_END = 44,
       AT_TOKENIZER = 48, AT_SUM = 80, AT_REST = 112, VOCAB_MAX = 1 << 20 };
#define NO_END UINT32_MAX

static bool ends_with(const char *path, const char *ending)
{
    size_t length = strlen(path), count = strlen(ending);
    return length > count && strcmp(path + length - count, ending) == 0;
}

bool tr_shard_is_name(const char *path)
{
    return ends_with(path, TR_SHARD_ENDING) || ends_with(path, TR_SHARD_BIN_ENDING) || ends_with(path, TR_SHARD_IDX_ENDING);
}

static void put(uint8_t *at, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static bool all_zero(const uint8_t *at, int count)
{
    for (int i = 0; i < count; i++)
        if (at[i])
            return false;
    return true;
}

static enum tr_status check_fields(const char *path, const uint8_t *at, int64_t file_bytes, struct tr_err *err)
{
    uint64_t width = tr_get_le(at + AT_WIDTH, 4), tokens = tr_get_le(at + AT_TOKENS, 8), vocab = tr_get_le(at + AT_VOCAB, 4);
    uint64_t end = tr_get_le(at + AT_END, 4), documents = tr_get_le(at + AT_DOCUMENTS, 8);
    if (vocab < 1 || vocab > VOCAB_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%s: offset %d: a vocabulary of %llu tokens; expected 1 to %d", path, AT_VOCAB,
                       (unsigned long long)vocab, VOCAB_MAX);
    if (width != (uint64_t)tr_shard_width((int64_t)vocab))
        return tr_fail(err, TR_BAD_INPUT, "%s: offset %d: tokens of %llu bytes; a vocabulary of %llu has %d", path,
                       AT_WIDTH, (unsigned long long)width, (unsigned long long)vocab, tr_shard_width((int64_t)vocab));
    if (end != NO_END && end >= vocab)
        return tr_fail(err, TR_BAD_INPUT, "%s: offset %d: the end of a document is token %llu; the vocabulary is 0 to %llu",
                       path, AT_END, (unsigned long long)end, (unsigned long long)vocab - 1);
    if (tokens < 1 || tokens > (uint64_t)TR_SHARD_MAX_TOKENS)
        return tr_fail(err, TR_BAD_INPUT, "%s: offset %d: %llu tokens; expected 1 to %lld", path, AT_TOKENS,
                       (unsigned long long)tokens, (long long)TR_SHARD_MAX_TOKENS);
    int64_t wanted = TR_SHARD_HEADER_BYTES + (int64_t)(tokens * width);
    if (wanted != file_bytes)
        return tr_fail(err, TR_BAD_INPUT, "%s: %lld bytes; its header says %llu tokens of %llu bytes, which makes %lld: "
                       "the file was cut off or added to", path, (long long)file_bytes, (unsigned long long)tokens,
                       (unsigned long long)width, (long long)wanted);
    if (documents > tokens || tr_get_le(at + AT_TEXT_BYTES, 8) > INT64_MAX || !all_zero(at + AT_REST, 16))
        return tr_fail(err, TR_BAD_INPUT, "%s: the header's counts of documents and bytes cannot be, or its last 16 bytes "
                       "are not 0", path);
    return TR_OK;
}

static const struct {
    uint32_t magic, version;
    int width;
} llmc_kind[] = {{20240520, 1, 2}, {20240801, 7, 4}};

static enum tr_status parse_llmc(const char *path, const uint8_t *at, size_t count, int64_t file_bytes,
                                 struct tr_shard *out, struct tr_err *err)
{
    if (count < TR_SHARD_LLMC_HEADER_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "%s: %lld bytes; a shard of llm.c begins with a header of %d", path,
                       (long long)file_bytes, TR_SHARD_LLMC_HEADER_BYTES);
    uint64_t first = tr_get_le(at, 4), version = tr_get_le(at + 4, 4), tokens = tr_get_le(at + 8, 4);
    int kind = first == llmc_kind[0].magic ? 0 : 1;
    if (first != llmc_kind[kind].magic)
        return tr_fail(err, TR_BAD_INPUT, "%s: is no shard of llm.c: it begins with %llu, not with %u or %u; text has to "
                       "have another name", path, (unsigned long long)first, llmc_kind[0].magic, llmc_kind[1].magic);
    if (version != llmc_kind[kind].version)
        return tr_fail(err, TR_BAD_INPUT, "%s: offset 4: version %llu; this program reads %u", path,
                       (unsigned long long)version, llmc_kind[kind].version);
    int64_t wanted = TR_SHARD_LLMC_HEADER_BYTES + (int64_t)tokens * llmc_kind[kind].width;
    if (tokens < 1 || tokens > INT32_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%s: offset 8: %llu tokens; expected 1 to %d", path, (unsigned long long)tokens,
                       INT32_MAX);
    if (wanted != file_bytes)
        return tr_fail(err, TR_BAD_INPUT, "%s: %lld bytes; its header says %llu tokens of %d bytes, which makes %lld: "
                       "the file was cut off or added to", path, (long long)file_bytes, (unsigned long long)tokens,
                       llmc_kind[kind].width, (long long)wanted);
    *out = (struct tr_shard){.tokens = (int64_t)tokens, .end = -1, .width = llmc_kind[kind].width, .kind = TR_SHARD_LLMC};
    return TR_OK;
}

enum tr_status tr_shard_parse(const char *path, const void *bytes, size_t count, int64_t file_bytes,
                              struct tr_shard *out, struct tr_err *err)
{
    const uint8_t *at = bytes;
    if (ends_with(path, TR_SHARD_BIN_ENDING))
        return parse_llmc(path, at, count, file_bytes, out, err);
    if (count < TR_SHARD_HEADER_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "%s: %lld bytes; a shard of tokens begins with a header of %d", path,
                       (long long)file_bytes, TR_SHARD_HEADER_BYTES);
    if (memcmp(at, magic, sizeof magic) != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: is no shard of tokens: it does not begin with \"TRTOKENS\"", path);
    if (tr_get_le(at + AT_VERSION, 4) != TR_SHARD_VERSION)
        return tr_fail(err, TR_BAD_INPUT, "%s: offset %d: version %llu; this program reads %d", path, AT_VERSION,
                       (unsigned long long)tr_get_le(at + AT_VERSION, 4), TR_SHARD_VERSION);
    enum tr_status status = check_fields(path, at, file_bytes, err);
    if (status != TR_OK)
        return status;
    uint64_t end = tr_get_le(at + AT_END, 4);
    struct tr_shard new = {
        .tokens = (int64_t)tr_get_le(at + AT_TOKENS, 8), .documents = (int64_t)tr_get_le(at + AT_DOCUMENTS, 8),
        .text_bytes = (int64_t)tr_get_le(at + AT_TEXT_BYTES, 8), .vocab = (int64_t)tr_get_le(at + AT_VOCAB, 4),
        .end = end == NO_END ? -1 : (int64_t)end, .width = (int)tr_get_le(at + AT_WIDTH, 4)};
    tr_sha256_hex(at + AT_TOKENIZER, new.tokenizer);
    tr_sha256_hex(at + AT_SUM, new.sum);
    *out = new;
    return TR_OK;
}

enum tr_status tr_shard_read_header(const char *path, struct tr_shard *out, struct tr_err *err)
{
    uint8_t header[TR_SHARD_LLMC_HEADER_BYTES]; /* the longer one */
    int64_t file_bytes, got;
    if (ends_with(path, TR_SHARD_IDX_ENDING))
        return tr_megatron_read_header(path, out, err);
    enum tr_status status = tr_file_bytes(path, &file_bytes, err);
    if (status == TR_OK)
        status = tr_file_read_at(path, 0, header, sizeof header, &got, err);
    return status == TR_OK ? tr_shard_parse(path, header, (size_t)got, file_bytes, out, err) : status;
}

enum tr_status tr_shard_match(const char *path, struct tr_shard *shard, const struct tr_token *token,
                              struct tr_err *err)
{
    int64_t vocab = tr_token_vocab(token);
    if (shard->kind == TR_SHARD_LLMC && shard->width != tr_shard_width(vocab))
        return tr_fail(err, TR_BAD_INPUT, "%s: has tokens of %d bytes; the vocabulary of this tokenizer, %lld tokens, has %d",
                       path, shard->width, (long long)vocab, tr_shard_width(vocab));
    if (shard->kind != TR_SHARD_OWN) {
        shard->vocab = vocab;
        shard->width = tr_shard_width(vocab);
        shard->end = tr_token_end_id(token);
        return TR_OK;
    }
    if (shard->vocab != vocab || strcmp(shard->tokenizer, tr_token_sha256(token)) != 0)
        return tr_fail(err, TR_BAD_INPUT,
                       "%s: was made with another tokenizer: its vocabulary has %lld tokens and SHA-256 %.16s..., this one "
                       "%lld and %.16s...", path, (long long)shard->vocab, shard->tokenizer, (long long)vocab,
                       tr_token_sha256(token));
    return TR_OK;
}

static int header_bytes(const struct tr_shard *shard)
{
    return shard->kind == TR_SHARD_LLMC ? TR_SHARD_LLMC_HEADER_BYTES : TR_SHARD_HEADER_BYTES;
}

enum tr_status tr_shard_check(const char *path, const struct tr_shard *shard, const void *tokens, struct tr_err *err)
{
    uint8_t digest[TR_SHA256_BYTES];
    char hex[TR_SHA256_HEX_BYTES];
    enum tr_status status = tr_sha256_of(tokens, (size_t)(shard->tokens * shard->width), digest, err);
    if (status != TR_OK)
        return status;
    if (shard->kind == TR_SHARD_OWN && strcmp(tr_sha256_hex(digest, hex), shard->sum) != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: its tokens have the SHA-256 %.16s..., its header says %.16s...: the file "
                       "is damaged", path, hex, shard->sum);
    for (int64_t i = 0; i < shard->tokens; i++) {
        uint32_t id = (uint32_t)tr_shard_token(tokens, shard->width, i);
        if (id >= (uint32_t)shard->vocab)
            return tr_fail(err, TR_BAD_INPUT, "%s: offset %lld: token %u; the vocabulary is 0 to %lld", path,
                           (long long)(header_bytes(shard) + i * shard->width), id, (long long)shard->vocab - 1);
    }
    return TR_OK;
}

enum tr_status tr_shard_read(const char *path, struct tr_shard *shard, void *to, struct tr_err *err)
{
    if (shard->kind == TR_SHARD_MEGATRON)
        return tr_megatron_read(path, shard, to, err);
    int64_t got, bytes = shard->tokens * shard->width;
    enum tr_status status = tr_file_read_at(path, header_bytes(shard), to, bytes, &got, err);
    if (status == TR_OK && got < bytes)
        status = tr_fail(err, TR_BAD_INPUT, "%s: ends after %lld of %lld bytes of tokens: it has become shorter", path,
                         (long long)got, (long long)bytes);
    return status == TR_OK ? tr_shard_check(path, shard, to, err) : status;
}

static void digest_of_hex(const char *hex, uint8_t digest[TR_SHA256_BYTES])
{
    for (int i = 0; i < TR_SHA256_BYTES; i++) {
        int value = 0;
        for (int k = 0; k < 2; k++) {
            char c = hex[2 * i + k];
            value = 16 * value + (c <= '9' ? c - '0' : c - 'a' + 10);
        }
        digest[i] = (uint8_t)value;
    }
}

enum tr_status tr_shard_write(const char *path, struct tr_shard *shard, const void *tokens, struct tr_err *err)
{
    uint8_t header[TR_SHARD_HEADER_BYTES] = {0}, digest[TR_SHA256_BYTES];
    struct tr_file_out out = {0};
    TR_ASSERT(shard->tokens > 0 && shard->tokens <= TR_SHARD_MAX_TOKENS);
    shard->width = tr_shard_width(shard->vocab);
    size_t bytes = (size_t)(shard->tokens * shard->width);
    enum tr_status status = tr_sha256_of(tokens, bytes, digest, err);
    if (status != TR_OK)
        return status;
    tr_sha256_hex(digest, shard->sum);
    memcpy(header, magic, sizeof magic);
    put(header + AT_VERSION, 4, TR_SHARD_VERSION);
    put(header + AT_WIDTH, 4, (uint64_t)shard->width);
    put(header + AT_TOKENS, 8, (uint64_t)shard->tokens);
    put(header + AT_DOCUMENTS, 8, (uint64_t)shard->documents);
    put(header + AT_TEXT_BYTES, 8, (uint64_t)shard->text_bytes);
    put(header + AT_VOCAB, 4, (uint64_t)shard->vocab);
    put(header + AT_END, 4, shard->end < 0 ? NO_END : (uint64_t)shard->end);
    digest_of_hex(shard->tokenizer, header + AT_TOKENIZER);
    memcpy(header + AT_SUM, digest, sizeof digest);
    status = tr_file_out_open(&out, path, err);
    if (status == TR_OK)
        status = tr_file_out_write(&out, header, sizeof header, err);
    if (status == TR_OK)
        status = tr_file_out_write(&out, tokens, bytes, err);
    if (status == TR_OK)
        status = tr_file_out_commit(&out, err);
    return status;
}
