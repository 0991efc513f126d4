/* Writing tokenizer.json, for vocabularies that were trained here or came from elsewhere. */
#include "base/json.h"
#include "base/os.h"
#include "lab/token/vocab.h"

static void write_byte_level(struct tr_json *json, const char *key, bool prefix, bool regex)
{
    tr_json_object(json, key);
    tr_json_string(json, "type", "ByteLevel");
    tr_json_bool(json, "add_prefix_space", prefix);
    tr_json_bool(json, "trim_offsets", true);
    tr_json_bool(json, "use_regex", regex);
    tr_json_end(json);
}

static void write_split(struct tr_json *json, enum tr_split split)
{
    const char *expression = tr_split_expression(split);
    tr_json_object(json, NULL);
    tr_json_string(json, "type", expression ? "Split" : "Digits");
    if (expression) {
        tr_json_object(json, "pattern");
        tr_json_string(json, "Regex", expression);
        tr_json_end(json);
        tr_json_string(json, "behavior", "Isolated");
        tr_json_bool(json, "invert", false);
    } else {
        tr_json_bool(json, "individual_digits", split == TR_SPLIT_DIGITS);
    }
    tr_json_end(json);
}

static void write_pre_tokenizer(const struct tr_token *token, struct tr_json *json)
{
    int count = token->split_count;
    bool regex = count > 0 && token->splits[count - 1] == TR_SPLIT_GPT2;
    count -= regex;
    bool prefix = count > 0 && token->splits[count - 1] == TR_SPLIT_PREFIX_SPACE;
    count -= prefix;
    if (count == 0) {
        write_byte_level(json, "pre_tokenizer", prefix, regex);
        return;
    }
    tr_json_object(json, "pre_tokenizer");
    tr_json_string(json, "type", "Sequence");
    tr_json_array(json, "pretokenizers");
    for (int i = 0; i < count; i++)
        write_split(json, token->splits[i]);
    write_byte_level(json, NULL, prefix, regex);
    tr_json_end(json);
    tr_json_end(json);
}

static void write_template_token(const struct tr_token *token, struct tr_json *json, int32_t id)
{
    struct tr_string name = tr_token_bytes(token, id);
    tr_json_object(json, NULL);
    tr_json_object(json, "SpecialToken");
    tr_json_bytes(json, "id", name.at, (size_t)name.bytes);
    tr_json_int(json, "type_id", 0);
    tr_json_end(json);
    tr_json_end(json);
}

static void write_sequence(struct tr_json *json, const char *name)
{
    tr_json_object(json, NULL);
    tr_json_object(json, "Sequence");
    tr_json_string(json, "id", name);
    tr_json_int(json, "type_id", 0);
    tr_json_end(json);
    tr_json_end(json);
}

static void write_template(const struct tr_token *token, struct tr_json *json, const char *key, bool pair)
{
    tr_json_array(json, key);
    for (int text = 0; text < 1 + pair; text++) {
        for (int i = 0; i < token->before_count; i++)
            write_template_token(token, json, token->before[i]);
        write_sequence(json, text ? "B" : "A");
        for (int i = 0; i < token->after_count; i++)
            write_template_token(token, json, token->after[i]);
    }
    tr_json_end(json);
}

/* ids[index] stands in the list already. */
static bool named_before(const int32_t *ids, int index)
{
    for (int i = 0; i < index; i++)
        if (ids[i] == ids[index])
            return true;
    return false;
}

static void write_post_processor(const struct tr_token *token, struct tr_json *json)
{
    int32_t ids[2 * TR_TOKEN_AROUND_MAX];
    int count = 0;
    for (int i = 0; i < token->before_count; i++)
        ids[count++] = token->before[i];
    for (int i = 0; i < token->after_count; i++)
        ids[count++] = token->after[i];
    if (count == 0) {
        tr_json_null(json, "post_processor");
        return;
    }
    tr_json_object(json, "post_processor");
    tr_json_string(json, "type", "TemplateProcessing");
    write_template(token, json, "single", false);
    write_template(token, json, "pair", true);
    tr_json_object(json, "special_tokens");
    for (int i = 0; i < count; i++) {
        struct tr_string name = tr_token_bytes(token, ids[i]);
        if (named_before(ids, i))
            continue;
        tr_json_object(json, name.at);
        tr_json_bytes(json, "id", name.at, (size_t)name.bytes);
        tr_json_array(json, "ids");
        tr_json_int(json, NULL, ids[i]);
        tr_json_end(json);
        tr_json_array(json, "tokens");
        tr_json_bytes(json, NULL, name.at, (size_t)name.bytes);
        tr_json_end(json);
        tr_json_end(json);
    }
    tr_json_end(json);
    tr_json_end(json);
}

static void write_added(const struct tr_token *token, struct tr_json *json)
{
    tr_json_array(json, "added_tokens");
    for (int64_t i = 0; i < token->added_count; i++) {
        const struct tr_added *added = &token->added[i];
        tr_json_object(json, NULL);
        tr_json_int(json, "id", added->id);
        tr_json_bytes(json, "content", added->content.at, (size_t)added->content.bytes);
        tr_json_bool(json, "single_word", added->single_word);
        tr_json_bool(json, "lstrip", added->lstrip);
        tr_json_bool(json, "rstrip", added->rstrip);
        tr_json_bool(json, "normalized", added->is_normalized);
        tr_json_bool(json, "special", added->special);
        tr_json_end(json);
    }
    tr_json_end(json);
}

static void spell_vocab(const struct tr_token *token, int64_t id, struct tr_text *out)
{
    struct tr_string bytes = token->bytes[id];
    for (int64_t i = 0; i < bytes.bytes && !token->literal[id]; i++)
        tr_alphabet_append(out, (uint8_t)bytes.at[i]);
    if (token->literal[id])
        tr_text_append_bytes(out, bytes.at, (size_t)bytes.bytes);
}

void tr_token_spell(const struct tr_token *token, int64_t id, struct tr_text *out)
{
    if (id < 0 || id >= token->vocab)
        return;
    struct tr_string content = tr_token_bytes(token, id);
    if (token->added_of[id])
        tr_text_append_bytes(out, content.at, (size_t)content.bytes);
    else
        spell_vocab(token, id, out);
}

/* As the file spells it; the text is kept from token to token. */
static const char *spell(const struct tr_token *token, int32_t id, struct tr_text *text)
{
    tr_text_clear(text);
    spell_vocab(token, id, text);
    return tr_text_str(text);
}

static void write_model(const struct tr_token *token, struct tr_json *json, struct tr_text *text)
{
    tr_json_object(json, "model");
    tr_json_string(json, "type", "BPE");
    tr_json_null(json, "dropout");
    tr_json_string(json, "unk_token", token->unknown >= 0 ? spell(token, token->unknown, text) : NULL);
    tr_json_null(json, "continuing_subword_prefix");
    tr_json_null(json, "end_of_word_suffix");
    tr_json_bool(json, "fuse_unk", token->fuse_unknown);
    tr_json_bool(json, "byte_fallback", false);
    tr_json_bool(json, "ignore_merges", token->ignore_merges);
    tr_json_object(json, "vocab");
    for (int64_t id = 0; id < token->vocab; id++)
        if (token->bytes[id].at)
            tr_json_int(json, spell(token, (int32_t)id, text), id);
    tr_json_end(json);
    tr_json_array(json, "merges");
    for (int64_t i = 0; i < token->merge_count; i++) {
        tr_json_array(json, NULL);
        for (int side = 0; side < 2; side++)
            tr_json_string(json, NULL, spell(token, token->merge[i][side], text));
        tr_json_end(json);
    }
    tr_json_end(json);
    tr_json_end(json);
}

enum tr_status tr_token_json(const struct tr_token *token, struct tr_text *out, struct tr_err *err)
{
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(out, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "version", "1.0");
    tr_json_null(&json, "truncation");
    tr_json_null(&json, "padding");
    write_added(token, &json);
    if (token->normalizer == TR_NORMALIZER_NFC) {
        tr_json_object(&json, "normalizer");
        tr_json_string(&json, "type", "NFC");
        tr_json_end(&json);
    } else {
        tr_json_null(&json, "normalizer");
    }
    write_pre_tokenizer(token, &json);
    write_post_processor(token, &json);
    write_byte_level(&json, "decoder", false, true);
    write_model(token, &json, &text);
    tr_json_end(&json);
    tr_text_char(out, '\n');
    bool failed = tr_text_failed(&text, err) || tr_text_failed(out, err);
    tr_text_free(&text);
    return failed ? TR_FAILED : TR_OK;
}

enum tr_status tr_token_write(const struct tr_token *token, const char *path, struct tr_err *err)
{
    struct tr_text text = {0};
    enum tr_status status = tr_token_json(token, &text, err);
    if (status == TR_OK)
        status = tr_file_write(path, tr_text_str(&text), text.len, err);
    tr_text_free(&text);
    return status;
}
