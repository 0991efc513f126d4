/* Reading tokenizer.json. What trine does not do is refused by its name and place; what changes no token (truncation,
 * padding, offsets) is passed over.
 *
 * Read by base/doc.h's tree, measured: Llama 3's file (128,256 tokens, 280,147 merges, 17 MB) takes 0.8 s and 213 MB
 * for the time of reading. A streaming reader would be faster, and a second strict JSON parser to keep safe; the models
 * that have such vocabularies take longer to load than this. */
#include "base/doc.h"
#include "lab/token/vocab.h"

#include <string.h>

enum { NESTING_MAX = 8 };
#define ARENA_MAX_BYTES ((int64_t)1 << 30)

struct reader {
    struct tr_token_spec spec;
    struct tr_arena arena;
    bool byte_level; /* the pre-tokenizer has come to ByteLevel, its last step */
    bool around;     /* a post-processor has said what stands around a text */
};

static bool absent(const struct tr_node *node) { return !node || node->kind == TR_NODE_NULL; }

static struct tr_string string_of(const struct tr_node *node) { return (struct tr_string){node->string, node->count}; }

/* ---- normalizer -------------------------------------------------------------------------------------------------- */

static enum tr_status read_normalizer(struct reader *r, const struct tr_node *node, int depth, struct tr_err *err)
{
    const char *type;
    const struct tr_node *list;
    if (absent(node))
        return TR_OK;
    enum tr_status status = tr_doc_string(node, "type", TR_REQUIRED, &type, err);
    if (status != TR_OK)
        return status;
    if (strcmp(type, "NFC") == 0) {
        r->spec.normalizer = TR_NORMALIZER_NFC;
        return TR_OK;
    }
    if (strcmp(type, "Sequence") != 0 || depth == NESTING_MAX)
        return tr_node_fail(node, err,
                            "the normalizer \"%.40s\" is not supported; supported are NFC, Sequence and null", type);
    status = tr_doc_array(node, "normalizers", TR_REQUIRED, 0, NESTING_MAX, &list, err);
    for (int64_t i = 0; status == TR_OK && i < list->count; i++)
        status = read_normalizer(r, &list->children[i], depth + 1, err);
    return status;
}

/* ---- pre-tokenizer ----------------------------------------------------------------------------------------------- */

static enum tr_status add_split(struct reader *r, const struct tr_node *node, enum tr_split split, struct tr_err *err)
{
    if (r->byte_level)
        return tr_node_fail(node, err, "a pre-tokenizer behind ByteLevel is not supported; ByteLevel must be the last");
    if (r->spec.split_count == TR_TOKEN_SPLITS_MAX)
        return tr_node_fail(node, err, "more than %d pre-tokenizers in a row", TR_TOKEN_SPLITS_MAX);
    r->spec.splits[r->spec.split_count++] = split;
    return TR_OK;
}

/* Every character is matched by these expressions, so keeping the matches apart and dropping all else are the same. */
static enum tr_status read_split(struct reader *r, const struct tr_node *node, struct tr_err *err)
{
    const struct tr_node *pattern;
    const char *regex, *behavior;
    bool invert = false;
    enum tr_status status = tr_doc_object(node, "pattern", TR_REQUIRED, &pattern, err);
    if (status == TR_OK)
        status = tr_doc_string(pattern, "Regex", TR_REQUIRED, &regex, err);
    if (status == TR_OK)
        status = tr_doc_string(node, "behavior", TR_REQUIRED, &behavior, err);
    if (status == TR_OK)
        status = tr_doc_bool(node, "invert", TR_OPTIONAL, &invert, err);
    if (status != TR_OK)
        return status;
    if (strcmp(behavior, invert ? "Removed" : "Isolated") != 0)
        return tr_node_fail(node, err,
                            "Split with behavior \"%.40s\" and invert %s is not supported; expected Isolated", behavior,
                            invert ? "true" : "false");
    static const enum tr_split splits[] = {TR_SPLIT_GPT2, TR_SPLIT_LLAMA3, TR_SPLIT_QWEN2};
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
        if (strcmp(tr_split_expression(splits[i]), regex) == 0)
            return add_split(r, node, splits[i], err);
    return tr_node_fail(pattern, err,
                        "this expression is not supported: \"%.200s\"; supported are those of GPT-2, Llama 3 and Qwen "
                        "2, character by character", regex);
}

static enum tr_status read_byte_level(struct reader *r, const struct tr_node *node, struct tr_err *err)
{
    bool prefix, regex = true;
    enum tr_status status = tr_doc_bool(node, "add_prefix_space", TR_REQUIRED, &prefix, err);
    if (status == TR_OK)
        status = tr_doc_bool(node, "use_regex", TR_OPTIONAL, &regex, err);
    if (status == TR_OK && prefix)
        status = add_split(r, node, TR_SPLIT_PREFIX_SPACE, err);
    if (status == TR_OK && regex)
        status = add_split(r, node, TR_SPLIT_GPT2, err);
    r->byte_level = true;
    return status;
}

static enum tr_status read_pre_tokenizer(struct reader *r, const struct tr_node *node, int depth, struct tr_err *err)
{
    const char *type;
    const struct tr_node *list;
    bool each = false;
    enum tr_status status = tr_doc_string(node, "type", TR_REQUIRED, &type, err);
    if (status != TR_OK)
        return status;
    if (strcmp(type, "ByteLevel") == 0)
        return read_byte_level(r, node, err);
    if (strcmp(type, "Split") == 0)
        return read_split(r, node, err);
    if (strcmp(type, "Digits") == 0) {
        status = tr_doc_bool(node, "individual_digits", TR_OPTIONAL, &each, err);
        return status == TR_OK ? add_split(r, node, each ? TR_SPLIT_DIGITS : TR_SPLIT_DIGIT_RUNS, err) : status;
    }
    if (strcmp(type, "Sequence") != 0 || depth == NESTING_MAX)
        return tr_node_fail(node, err,
                            "the pre-tokenizer \"%.40s\" is not supported; supported are ByteLevel, Split with a known "
                            "expression, Digits and Sequence", type);
    status = tr_doc_array(node, "pretokenizers", TR_REQUIRED, 0, TR_TOKEN_SPLITS_MAX, &list, err);
    for (int64_t i = 0; status == TR_OK && i < list->count; i++)
        status = read_pre_tokenizer(r, &list->children[i], depth + 1, err);
    return status;
}

/* ---- decoder ----------------------------------------------------------------------------------------------------- */

static enum tr_status check_decoder(const struct tr_node *node, int depth, struct tr_err *err)
{
    const char *type;
    const struct tr_node *list;
    if (absent(node))
        return TR_OK;
    enum tr_status status = tr_doc_string(node, "type", TR_REQUIRED, &type, err);
    if (status != TR_OK || strcmp(type, "ByteLevel") == 0)
        return status;
    if (strcmp(type, "Sequence") != 0 || depth == NESTING_MAX)
        return tr_node_fail(node, err, "the decoder \"%.40s\" is not supported; expected ByteLevel", type);
    status = tr_doc_array(node, "decoders", TR_REQUIRED, 0, NESTING_MAX, &list, err);
    for (int64_t i = 0; status == TR_OK && i < list->count; i++)
        status = check_decoder(&list->children[i], depth + 1, err);
    return status;
}

/* ---- post-processor ---------------------------------------------------------------------------------------------- */

static enum tr_status add_around(struct reader *r, const struct tr_node *node, bool before, int64_t id,
                                 struct tr_err *err)
{
    int *count = before ? &r->spec.before_count : &r->spec.after_count;
    if (*count == TR_TOKEN_AROUND_MAX)
        return tr_node_fail(node, err, "more than %d tokens around a text", TR_TOKEN_AROUND_MAX);
    (before ? r->spec.before : r->spec.after)[(*count)++] = id;
    return TR_OK;
}

static enum tr_status add_template_token(struct reader *r, const struct tr_node *table, const struct tr_node *item,
                                         bool before, struct tr_err *err)
{
    const char *name;
    const struct tr_node *entry, *ids;
    int64_t id;
    enum tr_status status = tr_doc_string(item, "id", TR_REQUIRED, &name, err);
    if (status == TR_OK)
        status = tr_doc_object(table, name, TR_REQUIRED, &entry, err);
    if (status == TR_OK)
        status = tr_doc_array(entry, "ids", TR_REQUIRED, 1, TR_TOKEN_AROUND_MAX, &ids, err);
    for (int64_t i = 0; status == TR_OK && i < ids->count; i++) {
        status = tr_node_int(&ids->children[i], 0, TR_TOKEN_VOCAB_MAX - 1, &id, err);
        if (status == TR_OK)
            status = add_around(r, item, before, id, err);
    }
    return status;
}

static enum tr_status read_template(struct reader *r, const struct tr_node *node, struct tr_err *err)
{
    const struct tr_node *single, *table = NULL, *item;
    bool before = true;
    enum tr_status status = tr_doc_array(node, "single", TR_REQUIRED, 1, 2 * TR_TOKEN_AROUND_MAX + 1, &single, err);
    if (status == TR_OK)
        status = tr_doc_object(node, "special_tokens", TR_REQUIRED, &table, err);
    for (int64_t i = 0; status == TR_OK && i < single->count; i++) {
        if ((item = tr_doc_find(&single->children[i], "SpecialToken")) != NULL)
            status = add_template_token(r, table, item, before, err);
        else if (!tr_doc_find(&single->children[i], "Sequence") || !before)
            status = tr_node_fail(&single->children[i], err, "expected special tokens around one Sequence");
        else
            before = false;
    }
    if (status == TR_OK && before)
        status = tr_node_fail(single, err, "expected special tokens around one Sequence");
    return status;
}

/* RoBERTa's and BERT's: {"cls": ["<s>", 0], "sep": ["</s>", 2]} */
static enum tr_status read_pair(struct reader *r, const struct tr_node *node, const char *key, bool before,
                                struct tr_err *err)
{
    const struct tr_node *pair;
    int64_t id;
    enum tr_status status = tr_doc_array(node, key, TR_REQUIRED, 2, 2, &pair, err);
    if (status == TR_OK)
        status = tr_node_int(&pair->children[1], 0, TR_TOKEN_VOCAB_MAX - 1, &id, err);
    return status == TR_OK ? add_around(r, pair, before, id, err) : status;
}

static enum tr_status read_post_processor(struct reader *r, const struct tr_node *node, int depth, struct tr_err *err)
{
    const char *type;
    const struct tr_node *list;
    if (absent(node))
        return TR_OK;
    enum tr_status status = tr_doc_string(node, "type", TR_REQUIRED, &type, err);
    if (status != TR_OK || strcmp(type, "ByteLevel") == 0)
        return status;
    if (strcmp(type, "Sequence") == 0 && depth < NESTING_MAX) {
        status = tr_doc_array(node, "processors", TR_REQUIRED, 0, NESTING_MAX, &list, err);
        for (int64_t i = 0; status == TR_OK && i < list->count; i++)
            status = read_post_processor(r, &list->children[i], depth + 1, err);
        return status;
    }
    bool pair = strcmp(type, "RobertaProcessing") == 0 || strcmp(type, "BertProcessing") == 0;
    if (r->around || (!pair && strcmp(type, "TemplateProcessing") != 0))
        return tr_node_fail(node, err,
                            "the post-processor \"%.40s\" is not supported here; supported are ByteLevel and one of "
                            "TemplateProcessing, RobertaProcessing, BertProcessing", type);
    r->around = true;
    if (!pair)
        return read_template(r, node, err);
    status = read_pair(r, node, "cls", true, err);
    return status == TR_OK ? read_pair(r, node, "sep", false, err) : status;
}

/* ---- model ------------------------------------------------------------------------------------------------------- */

static enum tr_status read_vocab(struct reader *r, const struct tr_node *vocab, struct tr_err *err)
{
    int64_t count = 0, id = 0;
    enum tr_status status = TR_OK;
    for (int64_t i = 0; i < vocab->count && status == TR_OK; i++) {
        status = tr_node_int(&vocab->children[i], 0, TR_TOKEN_VOCAB_MAX - 1, &id, err);
        count = id >= count ? id + 1 : count;
    }
    struct tr_string *strings = status == TR_OK ? tr_arena_array(&r->arena, count, sizeof *strings, err) : NULL;
    if (!strings)
        return status == TR_OK ? TR_FAILED : status;
    for (int64_t i = 0; i < vocab->count && status == TR_OK; i++) {
        const struct tr_node *node = &vocab->children[i];
        status = tr_node_int(node, 0, TR_TOKEN_VOCAB_MAX - 1, &id, err);
        if (status == TR_OK && strings[id].at)
            status = tr_node_fail(node, err, "id %lld is that of \"%.40s\" too", (long long)id, strings[id].at);
        if (status == TR_OK)
            strings[id] = (struct tr_string){node->key, (int64_t)strlen(node->key)};
    }
    r->spec.vocab = strings;
    r->spec.vocab_count = count;
    return status;
}

static enum tr_status read_merge(const struct tr_node *node, struct tr_merge *out, struct tr_err *err)
{
    if (node->kind == TR_NODE_STRING) {
        struct tr_err reason;
        if (tr_merge_from_line(string_of(node), out, &reason) != TR_OK)
            return tr_node_fail(node, err, "%s", reason.text);
        return TR_OK;
    }
    if (node->kind != TR_NODE_ARRAY || node->count != 2 || node->children[0].kind != TR_NODE_STRING ||
        node->children[1].kind != TR_NODE_STRING)
        return tr_node_fail(node, err, "expected a merge, as \"a b\" or [\"a\", \"b\"]");
    *out = (struct tr_merge){string_of(&node->children[0]), string_of(&node->children[1])};
    return TR_OK;
}

static enum tr_status read_merges(struct reader *r, const struct tr_node *list, struct tr_err *err)
{
    struct tr_merge *merges = tr_arena_array(&r->arena, list->count, sizeof *merges, err);
    enum tr_status status = merges ? TR_OK : TR_FAILED;
    for (int64_t i = 0; i < list->count && status == TR_OK; i++)
        status = read_merge(&list->children[i], &merges[i], err);
    r->spec.merges = merges;
    r->spec.merge_count = list->count;
    return status;
}

static enum tr_status read_unknown(struct reader *r, const struct tr_node *model, struct tr_err *err)
{
    const char *name = "";
    enum tr_status status = tr_doc_string(model, "unk_token", TR_OPTIONAL, &name, err);
    if (status == TR_OK)
        status = tr_doc_bool(model, "fuse_unk", TR_OPTIONAL, &r->spec.fuse_unknown, err);
    if (status != TR_OK || name[0] == 0)
        return status;
    const struct tr_node *id = tr_doc_find(tr_doc_find(model, "vocab"), name);
    if (!id)
        return tr_node_fail(tr_doc_find(model, "unk_token"), err, "\"%.40s\" is not in the vocabulary", name);
    r->spec.has_unknown = true;
    return tr_node_int(id, 0, TR_TOKEN_VOCAB_MAX - 1, &r->spec.unknown, err);
}

/* Features that would change tokens, each with the one value that does not. */
static enum tr_status refuse_features(const struct tr_node *model, struct tr_err *err)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    double dropout = 0;
    bool byte_fallback = false;
    enum tr_status status = tr_doc_double(model, "dropout", TR_OPTIONAL, 0, 0, &dropout, err);
    for (int i = 0; i < 2 && status == TR_OK; i++) {
        const char *affix = "";
        status = tr_doc_string(model, affixes[i], TR_OPTIONAL, &affix, err);
        if (status == TR_OK && affix[0])
            status = tr_node_fail(tr_doc_find(model, affixes[i]), err, "\"%.40s\" is not supported; expected none",
                                  affix);
    }
    if (status == TR_OK)
        status = tr_doc_bool(model, "byte_fallback", TR_OPTIONAL, &byte_fallback, err);
    if (status == TR_OK && byte_fallback)
        status = tr_node_fail(tr_doc_find(model, "byte_fallback"), err,
                              "a vocabulary that falls back to bytes (SentencePiece) is not supported");
    return status;
}

static enum tr_status read_model(struct reader *r, const struct tr_node *model, struct tr_err *err)
{
    const char *type = "BPE"; /* files of 2019 do not say it */
    const struct tr_node *vocab, *merges;
    enum tr_status status = tr_doc_string(model, "type", TR_OPTIONAL, &type, err);
    if (status == TR_OK && strcmp(type, "BPE") != 0)
        return tr_node_fail(model, err, "the model \"%.40s\" is not supported; expected BPE", type);
    if (status == TR_OK)
        status = refuse_features(model, err);
    if (status == TR_OK)
        status = tr_doc_bool(model, "ignore_merges", TR_OPTIONAL, &r->spec.ignore_merges, err);
    if (status == TR_OK)
        status = tr_doc_object(model, "vocab", TR_REQUIRED, &vocab, err);
    if (status == TR_OK)
        status = tr_doc_array(model, "merges", TR_REQUIRED, 0, TR_TOKEN_MERGES_MAX, &merges, err);
    if (status == TR_OK)
        status = read_vocab(r, vocab, err);
    if (status == TR_OK)
        status = read_merges(r, merges, err);
    return status == TR_OK ? read_unknown(r, model, err) : status;
}

/* ---- added tokens ------------------------------------------------------------------------------------------------ */

static enum tr_status read_added_token(const struct tr_node *node, struct tr_added_token *out, struct tr_err *err)
{
    const char *content;
    struct tr_added_token new = {0};
    enum tr_status status = tr_doc_string(node, "content", TR_REQUIRED, &content, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "id", TR_REQUIRED, 0, TR_TOKEN_VOCAB_MAX - 1, &new.id, err);
    if (status == TR_OK)
        status = tr_doc_bool(node, "special", TR_OPTIONAL, &new.special, err);
    new.normalized = !new.special;
    if (status == TR_OK)
        status = tr_doc_bool(node, "normalized", TR_OPTIONAL, &new.normalized, err);
    if (status == TR_OK)
        status = tr_doc_bool(node, "single_word", TR_OPTIONAL, &new.single_word, err);
    if (status == TR_OK)
        status = tr_doc_bool(node, "lstrip", TR_OPTIONAL, &new.lstrip, err);
    if (status == TR_OK)
        status = tr_doc_bool(node, "rstrip", TR_OPTIONAL, &new.rstrip, err);
    if (status != TR_OK)
        return status;
    new.content = (struct tr_string){content, (int64_t)strlen(content)};
    *out = new;
    return TR_OK;
}

static enum tr_status read_added(struct reader *r, const struct tr_node *root, struct tr_err *err)
{
    const struct tr_node *list = NULL;
    enum tr_status status = tr_doc_array(root, "added_tokens", TR_OPTIONAL, 0, TR_TOKEN_ADDED_MAX, &list, err);
    if (status != TR_OK || !list)
        return status;
    struct tr_added_token *added = tr_arena_array(&r->arena, list->count, sizeof *added, err);
    if (!added)
        return TR_FAILED;
    for (int64_t i = 0; i < list->count && status == TR_OK; i++)
        status = read_added_token(&list->children[i], &added[i], err);
    r->spec.added = added;
    r->spec.added_count = list->count;
    return status;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static enum tr_status read_root(struct reader *r, const struct tr_node *root, struct tr_err *err)
{
    const struct tr_node *model, *pre_tokenizer;
    enum tr_status status = tr_doc_object(root, "model", TR_REQUIRED, &model, err);
    if (status == TR_OK)
        status = read_normalizer(r, tr_doc_find(root, "normalizer"), 0, err);
    if (status == TR_OK)
        status = tr_doc_object(root, "pre_tokenizer", TR_REQUIRED, &pre_tokenizer, err);
    if (status == TR_OK)
        status = read_pre_tokenizer(r, pre_tokenizer, 0, err);
    if (status == TR_OK && !r->byte_level)
        status = tr_node_fail(pre_tokenizer, err,
                              "only byte-level vocabularies are supported: expected ByteLevel at the end");
    if (status == TR_OK)
        status = check_decoder(tr_doc_find(root, "decoder"), 0, err);
    if (status == TR_OK)
        status = read_post_processor(r, tr_doc_find(root, "post_processor"), 0, err);
    if (status == TR_OK)
        status = read_added(r, root, err);
    return status == TR_OK ? read_model(r, model, err) : status;
}

static enum tr_status make_from(const struct tr_doc *doc, const char *source, struct tr_token **out,
                                struct tr_err *err)
{
    struct reader r = {.spec = {.source = source}};
    tr_arena_init(&r.arena, "reading of a tokenizer", ARENA_MAX_BYTES);
    enum tr_status status = read_root(&r, tr_doc_root(doc), err);
    if (status == TR_OK)
        status = tr_token_make(&r.spec, out, err);
    tr_arena_free(&r.arena);
    return status;
}

enum tr_status tr_token_parse(const char *source, const char *json, size_t bytes, struct tr_token **out,
                              struct tr_err *err)
{
    struct tr_doc *doc;
    enum tr_status status = tr_doc_parse(source, TR_DOC_JSON, json, bytes, &doc, err);
    if (status != TR_OK)
        return status;
    status = make_from(doc, source, out, err);
    tr_doc_free(doc);
    return status;
}

enum tr_status tr_token_read(const char *path, struct tr_token **out, struct tr_err *err)
{
    struct tr_doc *doc;
    enum tr_status status = tr_doc_read(path, TR_DOC_JSON, &doc, err);
    if (status != TR_OK)
        return status;
    status = make_from(doc, path, out, err);
    tr_doc_free(doc);
    return status;
}
