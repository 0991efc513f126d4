#include "lab/data/jsonl.h"

#include "base/num.h"
#include "base/os.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20 };

bool tr_jsonl_is_name(const char *path)
{
    size_t length = strlen(path), ending = strlen(TR_JSONL_ENDING);
    return length > ending && strcmp(path + length - ending, TR_JSONL_ENDING) == 0;
}

enum tr_status tr_jsonl_open(struct tr_jsonl *lines, const char *path, int64_t bytes, struct tr_err *err)
{
    *lines = (struct tr_jsonl){.fd = -1, .path = path, .left = bytes};
    return tr_open_read(path, &lines->fd, err);
}

void tr_jsonl_close(struct tr_jsonl *lines)
{
    if (lines->path && lines->fd >= 0)
        close(lines->fd);
    free(lines->buffer);
    *lines = (struct tr_jsonl){.fd = -1};
}

/* Room behind what is in the buffer: moved to its beginning, or a larger one. */
static enum tr_status make_room(struct tr_jsonl *lines, struct tr_err *err)
{
    int64_t have = lines->end - lines->begin;
    if (lines->begin > 0 && have > 0)
        memmove(lines->buffer, lines->buffer + lines->begin, (size_t)have);
    lines->begin = 0;
    lines->end = have;
    if (have < lines->room)
        return TR_OK;
    if (have >= TR_JSONL_LINE_MAX_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "%s:%lld: longer than the limit of %lld bytes", lines->path,
                       (long long)lines->line + 1, (long long)TR_JSONL_LINE_MAX_BYTES);
    int64_t room = lines->room == 0 ? READ_BYTES : 2 * lines->room;
    char *larger = realloc(lines->buffer, (size_t)room);
    if (!larger)
        return tr_fail(err, TR_FAILED, "%s: out of memory for a line of more than %lld bytes", lines->path,
                       (long long)have);
    lines->buffer = larger;
    lines->room = room;
    return TR_OK;
}

static enum tr_status read_more(struct tr_jsonl *lines, struct tr_err *err)
{
    enum tr_status status = make_room(lines, err);
    if (status != TR_OK)
        return status;
    ssize_t got;
    do
        got = read(lines->fd, lines->buffer + lines->end, (size_t)tr_min_i64(lines->room - lines->end, lines->left));
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return tr_fail(err, TR_FAILED, "%s: cannot be read: %s", lines->path, strerror(errno));
    if (got == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: became shorter while it was read (by %lld bytes)", lines->path,
                       (long long)lines->left);
    lines->end += got;
    lines->left -= got;
    return TR_OK;
}

static bool is_blank(const char *line, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

enum tr_status tr_jsonl_next(struct tr_jsonl *lines, const char **line, size_t *bytes, struct tr_err *err)
{
    for (int64_t searched = 0;;) {
        int64_t have = lines->end - lines->begin;
        char *from = have > 0 ? lines->buffer + lines->begin : NULL;
        const char *end = have > searched ? memchr(from + searched, '\n', (size_t)(have - searched)) : NULL;
        searched = have;
        if (!end && lines->left > 0) {
            enum tr_status status = read_more(lines, err);
            if (status != TR_OK)
                return status;
            continue;
        }
        if (!end && have == 0)
            return TR_NO;
        int64_t length = end ? end - from : have;
        lines->begin += length + (end != NULL);
        lines->line++;
        searched = 0;
        if (is_blank(from, length))
            continue;
        *line = from;
        *bytes = (size_t)length;
        return TR_OK;
    }
}

static enum tr_status find_text(const struct tr_node *root, struct tr_string *out, struct tr_err *err)
{
    const struct tr_node *text = tr_doc_find(root, "text");
    if (root->kind != TR_NODE_OBJECT)
        return tr_node_fail(root, err, "expected an object with a key \"text\"");
    if (!text && tr_doc_find(root, "messages"))
        return tr_node_fail(root, err, "is a conversation (\"messages\"), and only documents (\"text\") are read here");
    if (!text)
        return tr_node_fail(root, err, "has no key \"text\"");
    if (text->kind != TR_NODE_STRING)
        return tr_node_fail(text, err, "expected a string");
    *out = (struct tr_string){.at = text->string, .bytes = text->count};
    return TR_OK;
}

static enum tr_status parse(const char *path, int64_t line_number, const char *line, size_t bytes, struct tr_doc **doc,
                            struct tr_err *err)
{
    char source[TR_PATH_BYTES + 32];
    snprintf(source, sizeof source, "%s:%lld", path, (long long)line_number);
    return tr_doc_parse_limited(source, TR_DOC_JSON, line, bytes, TR_JSONL_LINE_MAX_BYTES, TR_JSONL_LINE_MAX_NODES, doc,
                                err);
}

enum tr_status tr_jsonl_parse(const char *path, int64_t line_number, const char *line, size_t bytes,
                              struct tr_doc **doc, struct tr_string *text, struct tr_err *err)
{
    struct tr_doc *new = NULL;
    enum tr_status status = parse(path, line_number, line, bytes, &new, err);
    if (status != TR_OK)
        return status;
    status = find_text(tr_doc_root(new), text, err);
    if (status == TR_OK)
        *doc = new;
    else
        tr_doc_free(new);
    return status;
}

enum tr_status tr_jsonl_parse_talk(const char *path, int64_t line_number, const char *line, size_t bytes,
                                   struct tr_doc **doc, struct tr_conversation *out, struct tr_err *err)
{
    struct tr_doc *new = NULL;
    enum tr_status status = parse(path, line_number, line, bytes, &new, err);
    if (status != TR_OK)
        return status;
    status = tr_conversation_parse(tr_doc_root(new), out, err);
    if (status == TR_OK)
        *doc = new;
    else
        tr_doc_free(new);
    return status;
}

bool tr_jsonl_is_talk(const char *line, size_t bytes)
{
    struct tr_doc *doc = NULL;
    struct tr_err ignored;
    bool is_talk = parse("", 1, line, bytes, &doc, &ignored) == TR_OK && tr_doc_find(tr_doc_root(doc), "messages");
    tr_doc_free(doc);
    return is_talk;
}
