#include "lab/chat/chat.h"

#include <stdlib.h>

static enum tr_status check_keys(const struct tr_node *node, const char *key, struct tr_err *err)
{
    const struct tr_node *calls = tr_doc_find(node, key);
    if (!calls || calls->kind == TR_NODE_NULL || (calls->kind == TR_NODE_ARRAY && calls->count == 0))
        return TR_OK;
    return tr_node_fail(calls, err, "conversations that declare or call tools cannot be read");
}

static enum tr_status read_message(const struct tr_node *node, struct tr_message *out, struct tr_err *err)
{
    static const char *const names[TR_ROLE_COUNT] = {"system", "user", "assistant", "tool"};
    const struct tr_node *content;
    int role;
    if (node->kind != TR_NODE_OBJECT)
        return tr_node_fail(node, err, "expected an object with \"role\" and \"content\"");
    enum tr_status status = check_keys(node, "tool_calls", err);
    if (status == TR_OK)
        status = tr_doc_enum(node, "role", TR_REQUIRED, names, TR_ROLE_COUNT, &role, err);
    if (status == TR_OK)
        status = tr_doc_get(node, "content", TR_REQUIRED, &content, err);
    if (status != TR_OK)
        return status;
    if (content->kind != TR_NODE_STRING)
        return tr_node_fail(content, err, "expected a string: only text can be learned");
    *out = (struct tr_message){.role = (enum tr_role)role, .content = {.at = content->string, .bytes = content->count}};
    return TR_OK;
}

static enum tr_status make_room(struct tr_conversation *talk, int64_t count, struct tr_err *err)
{
    if (count <= talk->room)
        return TR_OK;
    struct tr_message *more = realloc(talk->message, (size_t)count * sizeof *more);
    if (!more)
        return tr_fail(err, TR_FAILED, "out of memory for %lld messages", (long long)count);
    talk->message = more;
    talk->room = count;
    return TR_OK;
}

enum tr_status tr_conversation_parse(const struct tr_node *root, struct tr_conversation *out, struct tr_err *err)
{
    const struct tr_node *messages;
    bool replies = false;
    if (root->kind != TR_NODE_OBJECT)
        return tr_node_fail(root, err, "expected an object with a key \"messages\"");
    enum tr_status status = tr_doc_array(root, "messages", TR_REQUIRED, 1, TR_CHAT_MESSAGES_MAX, &messages, err);
    if (status == TR_OK)
        status = check_keys(root, "tools", err);
    if (status == TR_OK)
        status = make_room(out, messages->count, err);
    if (status != TR_OK)
        return status;
    out->count = 0;
    for (int64_t i = 0; i < messages->count && status == TR_OK; i++) {
        status = read_message(&messages->children[i], &out->message[i], err);
        if (status == TR_OK)
            replies |= out->message[i].role == TR_ROLE_ASSISTANT;
    }
    if (status == TR_OK && !replies)
        status = tr_node_fail(messages, err, "none of them is of the assistant: there is nothing to learn");
    if (status == TR_OK)
        out->count = messages->count;
    return status;
}

void tr_conversation_free(struct tr_conversation *talk)
{
    free(talk->message);
    *talk = (struct tr_conversation){0};
}
