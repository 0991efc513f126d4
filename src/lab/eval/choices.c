/* Reading questions: one JSON object a line. */
#include "base/doc.h"
#include "base/num.h"
#include "base/os.h"
#include "lab/eval/eval.h"

#include <stdio.h>
#include <string.h>

#define ARENA_MAX_BYTES ((int64_t)2 << 30)

enum { LINE_MAX_BYTES = 1 << 20, LINE_MAX_NODES = 10000, SOURCE_BYTES = TR_PATH_BYTES + 32 };

static enum tr_status copy_string(struct tr_arena *arena, const struct tr_node *node, struct tr_string *out,
                                  struct tr_err *err)
{
    const char *text;
    enum tr_status status = tr_node_string(node, &text, err);
    if (status != TR_OK)
        return status;
    out->bytes = node->count;
    out->at = tr_arena_copy(arena, text, out->bytes, err);
    return out->at ? TR_OK : TR_FAILED;
}

/* The value under the first of the two keys that is there. */
static enum tr_status either(const struct tr_node *line, const char *key, const char *other,
                             const struct tr_node **out, struct tr_err *err)
{
    *out = tr_doc_find(line, key);
    if (!*out)
        *out = tr_doc_find(line, other);
    return *out ? TR_OK : tr_node_fail(line, err, "has no key \"%s\" (or \"%s\")", other, key);
}

static enum tr_status read_label(const struct tr_node *node, struct tr_choice_question *question, struct tr_err *err)
{
    int64_t label = 0;
    if (node->kind != TR_NODE_STRING) {
        enum tr_status status = tr_node_int(node, 0, question->ending_count - 1, &label, err);
        question->label = (int32_t)label;
        return status;
    }
    bool digits = node->count > 0 && node->count < 4 && strspn(node->string, "0123456789") == (size_t)node->count;
    for (const char *at = node->string; digits && *at; at++)
        label = 10 * label + (*at - '0');
    if (!digits || label >= question->ending_count)
        return tr_node_fail(node, err, "expected the number of the right ending, 0 to %d, got \"%.40s\"",
                            question->ending_count - 1, node->string);
    question->label = (int32_t)label;
    return TR_OK;
}

static enum tr_status read_endings(const struct tr_node *list, struct tr_arena *arena,
                                   struct tr_choice_question *question, struct tr_err *err)
{
    if (list->kind != TR_NODE_ARRAY || list->count < 2 || list->count > TR_CHOICES_MAX_ENDINGS)
        return tr_node_fail(list, err, "expected a list of 2 to %d endings", TR_CHOICES_MAX_ENDINGS);
    struct tr_string *ending = tr_arena_array(arena, list->count, sizeof *ending, err);
    if (!ending)
        return TR_FAILED;
    for (int64_t i = 0; i < list->count; i++) {
        enum tr_status status = copy_string(arena, &list->children[i], &ending[i], err);
        if (status == TR_OK && ending[i].bytes == 0)
            status = tr_node_fail(&list->children[i], err, "is empty: its score per byte would have no meaning");
        if (status != TR_OK)
            return status;
    }
    question->ending = ending;
    question->ending_count = (int32_t)list->count;
    return TR_OK;
}

static enum tr_status read_question(const struct tr_node *line, struct tr_arena *arena,
                                    struct tr_choice_question *question, struct tr_err *err)
{
    const struct tr_node *node;
    if (line->kind != TR_NODE_OBJECT)
        return tr_node_fail(line, err, "expected an object, such as {\"ctx\": \"...\", \"endings\": [...], \"label\": 0}");
    enum tr_status status = either(line, "query", "ctx", &node, err);
    if (status == TR_OK)
        status = copy_string(arena, node, &question->context, err);
    if (status == TR_OK)
        status = either(line, "choices", "endings", &node, err);
    if (status == TR_OK)
        status = read_endings(node, arena, question, err);
    if (status == TR_OK)
        status = either(line, "gold", "label", &node, err);
    return status == TR_OK ? read_label(node, question, err) : status;
}

static enum tr_status parse_line(const char *source, int64_t line_number, const char *line, size_t bytes,
                                 struct tr_choices *choices, struct tr_err *err)
{
    char where[SOURCE_BYTES];
    struct tr_doc *doc;
    snprintf(where, sizeof where, "%s:%lld", source, (long long)line_number);
    enum tr_status status =
        tr_doc_parse_limited(where, TR_DOC_JSON, line, bytes, LINE_MAX_BYTES, LINE_MAX_NODES, &doc, err);
    if (status != TR_OK)
        return status;
    struct tr_choice_question *question = &choices->question[choices->count];
    status = read_question(tr_doc_root(doc), &choices->arena, question, err);
    tr_doc_free(doc);
    if (status != TR_OK)
        return status;
    question->first_row = choices->row_count;
    choices->row_count += question->ending_count;
    choices->count++;
    return TR_OK;
}

static bool is_blank(const char *line, size_t bytes)
{
    while (bytes > 0 && (line[bytes - 1] == ' ' || line[bytes - 1] == '\t' || line[bytes - 1] == '\r'))
        bytes--;
    return bytes == 0;
}

/* The line that begins at `at`, without its end. */
static size_t line_bytes(const char *text, size_t bytes, size_t at)
{
    const char *newline = memchr(text + at, '\n', bytes - at);
    return newline ? (size_t)(newline - text) - at : bytes - at;
}

/* Lines that are not blank. */
static int64_t count_lines(const char *text, size_t bytes)
{
    int64_t count = 0;
    for (size_t at = 0; at < bytes; at += line_bytes(text, bytes, at) + 1)
        count += !is_blank(text + at, line_bytes(text, bytes, at));
    return count;
}

enum tr_status tr_choices_parse(const char *source, const char *text, size_t bytes, struct tr_choices *out,
                                struct tr_err *err)
{
    memset(out, 0, sizeof *out);
    tr_arena_init(&out->arena, "questions", ARENA_MAX_BYTES);
    int64_t most = count_lines(text, bytes), number = 0;
    if (most == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: holds no question", source);
    if (most > TR_CHOICES_MAX_QUESTIONS)
        return tr_fail(err, TR_BAD_INPUT, "%s: has %lld lines, more than %d questions", source, (long long)most,
                       TR_CHOICES_MAX_QUESTIONS);
    out->question = tr_arena_array(&out->arena, most, sizeof *out->question, err);
    enum tr_status status = out->question ? TR_OK : TR_FAILED;
    for (size_t at = 0; at < bytes && status == TR_OK;) {
        size_t length = line_bytes(text, bytes, at);
        number++;
        if (!is_blank(text + at, length))
            status = parse_line(source, number, text + at, length, out, err);
        at += length + 1;
    }
    return status;
}

enum tr_status tr_choices_read(const char *path, struct tr_choices *out, struct tr_err *err)
{
    struct tr_bytes file;
    memset(out, 0, sizeof *out);
    enum tr_status status = tr_file_read(path, TR_CHOICES_MAX_BYTES, &file, err);
    if (status != TR_OK)
        return status;
    status = tr_choices_parse(path, file.at, file.len, out, err);
    tr_bytes_free(&file);
    return status;
}

void tr_choices_free(struct tr_choices *choices)
{
    tr_arena_free(&choices->arena);
    memset(choices, 0, sizeof *choices);
}
