/* What a model's files say about talking to it: its chat template, and the tokens that end a text. */
#include "lab/exchange/exchange.h"
#include "lab/exchange/gguf.h"

#include "lab/chat/chat.h"

#include <string.h>

/* ---- the template ------------------------------------------------------------------------------------------------ */

static enum tr_status take(const struct tr_node *text, struct tr_text *out, struct tr_err *err)
{
    const char *string;
    enum tr_status status = tr_node_string(text, &string, err);
    if (status == TR_OK && text->count > TR_CHAT_TEMPLATE_MAX_BYTES)
        return tr_node_fail(text, err, "%lld bytes, more than the limit of %lld", (long long)text->count,
                            (long long)TR_CHAT_TEMPLATE_MAX_BYTES);
    if (status == TR_OK)
        tr_text_append_bytes(out, string, (size_t)text->count);
    return status == TR_OK && tr_text_failed(out, err) ? TR_FAILED : status;
}

/* A text, or several with names, of which the one called default counts. */
enum tr_status tr_import_chat_from_node(const struct tr_node *root, struct tr_text *out, struct tr_err *err)
{
    const struct tr_node *chat = tr_doc_find(root, "chat_template");
    if (!chat || chat->kind == TR_NODE_NULL)
        return TR_OK;
    if (chat->kind != TR_NODE_ARRAY)
        return take(chat, out, err);
    for (int64_t i = 0; i < chat->count; i++) {
        const struct tr_node *name = tr_doc_find(&chat->children[i], "name");
        const struct tr_node *text = tr_doc_find(&chat->children[i], "template");
        if (name && text && name->kind == TR_NODE_STRING && strcmp(name->string, "default") == 0)
            return take(text, out, err);
    }
    return TR_OK;
}

static enum tr_status beside(const char *path, const char *name, char out[TR_PATH_BYTES], bool *is_there,
                             struct tr_err *err)
{
    char folder[TR_PATH_BYTES] = ".";
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (slash && length < sizeof folder) {
        memcpy(folder, length ? path : "/", length ? length : 1);
        folder[length ? length : 1] = 0;
    }
    enum tr_status status = tr_path_join(out, folder, name, err);
    *is_there = status == TR_OK && tr_file_exists(out);
    return status;
}

static enum tr_status read_text(const char *path, struct tr_text *out, struct tr_err *err)
{
    struct tr_bytes file;
    enum tr_status status = tr_file_read(path, TR_CHAT_TEMPLATE_MAX_BYTES, &file, err);
    if (status != TR_OK)
        return status;
    size_t good = tr_utf8_prefix(file.at, file.len);
    if (good < file.len)
        status = tr_fail(err, TR_BAD_INPUT, "%s: offset %zu: is not UTF-8", path, good);
    if (status == TR_OK)
        tr_text_append_bytes(out, file.at, file.len);
    tr_bytes_free(&file);
    return status == TR_OK && tr_text_failed(out, err) ? TR_FAILED : status;
}

static enum tr_status chat_of_gguf(const char *path, struct tr_text *out, struct tr_err *err)
{
    struct tr_gguf file;
    struct tr_string text = {0};
    enum tr_status status = tr_gguf_open(path, &file, err);
    if (status != TR_OK)
        return status;
    status = tr_gguf_string(&file, "tokenizer.chat_template", TR_OPTIONAL, &text, err);
    if (status == TR_OK && text.bytes > TR_CHAT_TEMPLATE_MAX_BYTES)
        status = tr_fail(err, TR_BAD_INPUT, "%s: tokenizer.chat_template: %lld bytes, more than the limit of %lld", path,
                         (long long)text.bytes, (long long)TR_CHAT_TEMPLATE_MAX_BYTES);
    if (status == TR_OK && text.at)
        tr_text_append_bytes(out, text.at, (size_t)text.bytes);
    tr_gguf_free(&file);
    return status == TR_OK && tr_text_failed(out, err) ? TR_FAILED : status;
}

enum tr_status tr_import_chat(const char *tokenizer, struct tr_text *out, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_doc *doc;
    bool is_there;
    if (tr_import_is_gguf(tokenizer))
        return chat_of_gguf(tokenizer, out, err);
    enum tr_status status = beside(tokenizer, TR_CHAT_TEMPLATE_FILE, path, &is_there, err);
    if (status == TR_OK && is_there)
        return read_text(path, out, err);
    if (status == TR_OK)
        status = beside(tokenizer, "tokenizer_config.json", path, &is_there, err);
    if (status != TR_OK || !is_there || (status = tr_doc_read(path, TR_DOC_JSON, &doc, err)) != TR_OK)
        return status;
    status = tr_import_chat_from_node(tr_doc_root(doc), out, err);
    tr_doc_free(doc);
    return status;
}

/* ---- what ends a text -------------------------------------------------------------------------------------------- */

static enum tr_status add_stop(const struct tr_node *node, struct tr_stops *out, struct tr_err *err)
{
    int64_t id;
    enum tr_status status = tr_node_int(node, 0, TR_TOKEN_VOCAB_MAX - 1, &id, err);
    if (status == TR_OK && out->count == TR_STOPS_MAX)
        return tr_node_fail(node, err, "more than %d tokens that end a text", TR_STOPS_MAX);
    if (status == TR_OK)
        out->id[out->count++] = (int32_t)id;
    return status;
}

enum tr_status tr_import_stops_from_node(const struct tr_node *root, struct tr_stops *out, struct tr_err *err)
{
    const struct tr_node *eos = tr_doc_find(root, "eos_token_id");
    enum tr_status status = TR_OK;
    if (!eos || eos->kind == TR_NODE_NULL)
        return TR_OK;
    if (eos->kind != TR_NODE_ARRAY)
        return add_stop(eos, out, err);
    for (int64_t i = 0; i < eos->count && status == TR_OK; i++)
        status = add_stop(&eos->children[i], out, err);
    return status;
}

static enum tr_status stops_of_gguf(const char *path, struct tr_stops *out, struct tr_err *err)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"};
    struct tr_gguf file;
    enum tr_status status = tr_gguf_open(path, &file, err);
    if (status != TR_OK)
        return status;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == TR_OK; i++) {
        int64_t id = -1;
        status = tr_gguf_int(&file, keys[i], TR_OPTIONAL, 0, TR_TOKEN_VOCAB_MAX - 1, &id, err);
        if (status == TR_OK && id >= 0)
            out->id[out->count++] = (int32_t)id;
    }
    tr_gguf_free(&file);
    return status;
}

enum tr_status tr_import_stops(const char *tokenizer, struct tr_stops *out, struct tr_err *err)
{
    static const char *const files[] = {"generation_config.json", "config.json"};
    char path[TR_PATH_BYTES];
    enum tr_status status = TR_OK;
    *out = (struct tr_stops){0};
    if (tr_import_is_gguf(tokenizer))
        return stops_of_gguf(tokenizer, out, err);
    for (int i = 0; i < 2 && status == TR_OK && out->count == 0; i++) {
        struct tr_doc *doc;
        bool is_there;
        status = beside(tokenizer, files[i], path, &is_there, err);
        if (status != TR_OK || !is_there || (status = tr_doc_read(path, TR_DOC_JSON, &doc, err)) != TR_OK)
            continue;
        status = tr_import_stops_from_node(tr_doc_root(doc), out, err);
        tr_doc_free(doc);
    }
    return status;
}
