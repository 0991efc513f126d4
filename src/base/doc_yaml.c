/* YAML in: libyaml's events become our tree. The only file that includes libyaml. */
#include "base/doc_build.h"

#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    struct tr_doc *doc;
    const char *source;
    struct tr_err *err;
};

static void place(struct tr_node *node, const struct reader *reader, yaml_mark_t mark)
{
    node->source = reader->source;
    node->line = (int)mark.line + 1;
    node->column = (int)mark.column + 1;
}

static enum tr_status fail_at(const struct reader *reader, yaml_mark_t mark, const char *sentence)
{
    struct tr_node at = {0};
    place(&at, reader, mark);
    return tr_node_fail(&at, reader->err, "%s", sentence);
}

static enum tr_status next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return TR_OK;
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return tr_fail(reader->err, TR_FAILED, "%s: out of memory", reader->source);
    struct tr_node at = {.source = reader->source};
    /* The byte reader has no lines, only an offset. */
    if (parser->error == YAML_READER_ERROR)
        return tr_node_fail(&at, reader->err, "not valid YAML: %s at byte %zu", parser->problem,
                            parser->problem_offset);
    place(&at, reader, parser->problem_mark);
    return tr_node_fail(&at, reader->err, "not valid YAML: %s%s%s", parser->problem ? parser->problem : "unreadable",
                        parser->context ? " " : "", parser->context ? parser->context : "");
}

/* What YAML offers beyond a tree of plain values is refused, in the places where it can stand. */
static enum tr_status refuse_extras(const struct reader *reader, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return fail_at(reader, event->start_mark, "aliases (*name) are not accepted, write the value out");
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor)
        return fail_at(reader, event->start_mark, "anchors (&name) are not accepted, write the value out");
    if (tag)
        return fail_at(reader, event->start_mark, "tags (!name) are not accepted");
    return TR_OK;
}

static enum tr_status read_scalar(struct reader *reader, const yaml_event_t *event, struct tr_node *node)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t bytes = event->data.scalar.length;
    if (memchr(text, 0, bytes))
        return fail_at(reader, event->start_mark, "a character U+0000 is not accepted");
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return tr_doc_build_scalar(reader->doc, text, bytes, node, reader->err);
    node->string = tr_doc_build_string(reader->doc, text, bytes, reader->err);
    if (!node->string)
        return TR_FAILED;
    node->kind = TR_NODE_STRING;
    node->count = (int64_t)bytes;
    return TR_OK;
}

static enum tr_status read_key(struct reader *reader, const yaml_event_t *event, struct tr_node *child)
{
    enum tr_status status = refuse_extras(reader, event);
    if (status)
        return status;
    if (event->type != YAML_SCALAR_EVENT)
        return fail_at(reader, event->start_mark, "expected a name as key, got a list or a mapping");
    const char *text = (const char *)event->data.scalar.value;
    size_t bytes = event->data.scalar.length;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(text, 0, bytes))
        return fail_at(reader, event->start_mark, "a character U+0000 is not accepted");
    if (plain && bytes == 0)
        return fail_at(reader, event->start_mark, "a key is missing before the colon");
    if (plain && strcmp(text, "<<") == 0)
        return fail_at(reader, event->start_mark, "merge keys (<<) are not accepted, write the values out");
    child->key = tr_doc_build_string(reader->doc, text, bytes, reader->err);
    child->key_line = (int)event->start_mark.line + 1;
    child->key_column = (int)event->start_mark.column + 1;
    return child->key ? TR_OK : TR_FAILED;
}

static enum tr_status read_value(struct reader *reader, const yaml_event_t *event, struct tr_node *node, int depth);

/* Children are gathered in a list that grows, and copied to the document when their number is known. */
struct list {
    struct tr_node *at;
    int64_t count, cap;
};

static enum tr_status list_add(struct reader *reader, struct list *list, const struct tr_node *child)
{
    if (list->count == list->cap) {
        int64_t cap = list->cap ? 2 * list->cap : 8; /* bounded by the number of nodes */
        struct tr_node *at = realloc(list->at, (size_t)cap * sizeof *at);
        if (!at)
            return tr_fail(reader->err, TR_FAILED, "%s: out of memory", reader->source);
        list->at = at;
        list->cap = cap;
    }
    list->at[list->count++] = *child;
    return TR_OK;
}

/* One item, or the end of the collection: then *done. */
static enum tr_status read_item(struct reader *reader, bool object, int depth, struct list *list, bool *done)
{
    yaml_event_t event;
    struct tr_node child = {0};
    enum tr_status status = next_event(reader, &event);
    if (status)
        return status;
    *done = event.type == (object ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT);
    if (*done)
        goto delete_event;
    if (object) {
        status = read_key(reader, &event, &child);
        if (status)
            goto delete_event;
        yaml_event_delete(&event);
        status = next_event(reader, &event);
        if (status)
            return status;
    }
    status = read_value(reader, &event, &child, depth);
    if (!status)
        status = list_add(reader, list, &child);
delete_event:
    yaml_event_delete(&event);
    return status;
}

static enum tr_status read_collection(struct reader *reader, const yaml_event_t *start, struct tr_node *node, int depth)
{
    bool object = start->type == YAML_MAPPING_START_EVENT, done = false;
    if (depth > TR_DOC_MAX_DEPTH) {
        char sentence[64];
        snprintf(sentence, sizeof sentence, "nested more than %d levels deep", TR_DOC_MAX_DEPTH);
        return fail_at(reader, start->start_mark, sentence);
    }
    struct list list = {0};
    enum tr_status status = TR_OK;
    while (!status && !done)
        status = read_item(reader, object, depth + 1, &list, &done);
    if (status)
        goto free_list;
    struct tr_node *children = tr_arena_array(&reader->doc->arena, list.count, sizeof *children, reader->err);
    if (!children) {
        status = TR_FAILED;
        goto free_list;
    }
    if (list.count)
        memcpy(children, list.at, (size_t)list.count * sizeof *children);
    node->kind = object ? TR_NODE_OBJECT : TR_NODE_ARRAY;
    status = tr_doc_build_children(reader->doc, node, children, list.count, reader->err);
free_list:
    free(list.at);
    return status;
}

/* `depth`: of this value if it is a collection; the top is 1. */
static enum tr_status read_value(struct reader *reader, const yaml_event_t *event, struct tr_node *node, int depth)
{
    place(node, reader, event->start_mark);
    enum tr_status status = refuse_extras(reader, event);
    if (!status)
        status = tr_doc_build_count(reader->doc, node, reader->err);
    if (status)
        return status;
    switch (event->type) {
    case YAML_SCALAR_EVENT: return read_scalar(reader, event, node);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: return read_collection(reader, event, node, depth);
    default: return fail_at(reader, event->start_mark, "not valid YAML: a value is missing");
    }
}

/* The frame: stream start, document start, the value, document end, stream end. */
static enum tr_status read_stream(struct reader *reader, struct tr_node *node)
{
    yaml_event_t event;
    enum tr_status status;
    for (;;) {
        status = next_event(reader, &event);
        if (status)
            return status;
        yaml_event_type_t type = event.type;
        if (type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&event);
            return tr_fail(reader->err, TR_BAD_INPUT, "%s: empty, expected YAML", reader->source);
        }
        if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT)
            break;
        yaml_event_delete(&event);
    }
    status = read_value(reader, &event, node, 1);
    yaml_event_delete(&event);
    if (status)
        return status;
    for (;;) {
        status = next_event(reader, &event);
        if (status)
            return status;
        yaml_event_type_t type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT)
            status = fail_at(reader, event.start_mark, "a second document; expected one");
        yaml_event_delete(&event);
        if (status || type == YAML_STREAM_END_EVENT)
            return status;
    }
}

enum tr_status tr_doc_build_yaml(struct tr_doc *doc, const char *data, size_t bytes, struct tr_node *node,
                                 struct tr_err *err)
{
    struct reader reader = {.doc = doc, .source = node->source, .err = err};
    if (!yaml_parser_initialize(&reader.parser))
        return tr_fail(err, TR_FAILED, "%s: out of memory", node->source);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)data, bytes);
    enum tr_status status = read_stream(&reader, node);
    yaml_parser_delete(&reader.parser);
    return status;
}
