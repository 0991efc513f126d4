#include "lab/chat/template.h"

#include <stdlib.h>
#include <string.h>

static const char *const role_names[TR_ROLE_COUNT] = {"system", "user", "assistant", "tool"};

/* ---- strings as Python has them ---------------------------------------------------------------------------------- */

/* Bytes of the white space (str.isspace) that `at` begins with, 0: none. */
static int space_at(const char *at, int64_t bytes)
{
    static const char *const wide[] = {"\xc2\x85", "\xc2\xa0", "\xe1\x9a\x80", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf",
                                       "\xe2\x81\x9f", "\xe3\x80\x80"};
    if (bytes > 0 && ((*at >= '\t' && *at <= '\r') || (*at >= 0x1c && *at <= ' ')))
        return 1;
    if (bytes >= 3 && memcmp(at, "\xe2\x80", 2) == 0 && (uint8_t)at[2] >= 0x80 && (uint8_t)at[2] <= 0x8a)
        return 3;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        int64_t length = (int64_t)strlen(wide[i]);
        if (bytes >= length && memcmp(at, wide[i], (size_t)length) == 0)
            return (int)length;
    }
    return 0;
}

static struct tr_string stripped(struct tr_string s)
{
    int step;
    while ((step = space_at(s.at, s.bytes)) > 0) {
        s.at += step;
        s.bytes -= step;
    }
    for (bool more = true; more;) {
        more = false;
        for (int length = 1; length <= 3 && !more; length++)
            if (s.bytes >= length && space_at(s.at + s.bytes - length, length) == length) {
                s.bytes -= length;
                more = true;
            }
    }
    return s;
}

static struct tr_string without_first_lines(struct tr_string s)
{
    for (; s.bytes > 0 && *s.at == '\n'; s.bytes--)
        s.at++;
    return s;
}

static struct tr_string without_last_lines(struct tr_string s)
{
    while (s.bytes > 0 && s.at[s.bytes - 1] == '\n')
        s.bytes--;
    return s;
}

/* Where `word` stands first or, with `last`, last; NULL: nowhere. */
static const char *find(struct tr_string s, const char *word, bool last)
{
    int64_t length = (int64_t)strlen(word);
    for (int64_t i = 0; i + length <= s.bytes; i++) {
        const char *at = s.at + (last ? s.bytes - length - i : i);
        if (memcmp(at, word, (size_t)length) == 0)
            return at;
    }
    return NULL;
}

/* ---- what a template has besides turns --------------------------------------------------------------------------- */

static void put(struct tr_text *out, struct tr_string s) { tr_text_append_bytes(out, s.at, (size_t)s.bytes); }

/* qwen3: the last question of the user; answers of tools that are user messages are none. */
static int64_t last_question(const struct tr_message *messages, int64_t count)
{
    static const char begin[] = "<tool_response>", end[] = "</tool_response>";
    const int64_t begin_bytes = sizeof begin - 1, end_bytes = sizeof end - 1;
    for (int64_t i = count - 1; i >= 0; i--) {
        struct tr_string s = messages[i].content;
        bool answer = s.bytes >= end_bytes && memcmp(s.at, begin, (size_t)begin_bytes) == 0 &&
                      memcmp(s.at + s.bytes - end_bytes, end, (size_t)end_bytes) == 0;
        if (messages[i].role == TR_ROLE_USER && !answer)
            return i;
    }
    return count - 1;
}

/* qwen3: what a reply thought is shown behind the last question only. */
static void put_reply_with_thoughts(struct tr_string content, bool behind_question, bool is_last, struct tr_text *out)
{
    static const char open[] = "<think>", close[] = "</think>";
    struct tr_string say = content, think = {.at = content.at, .bytes = 0};
    const char *first = find(content, close, false);
    if (first) {
        const char *last = find(content, close, true) + sizeof close - 1;
        say = without_first_lines((struct tr_string){last, content.at + content.bytes - last});
        think = without_last_lines((struct tr_string){content.at, first - content.at});
        const char *begin = find(think, open, true);
        if (begin) {
            begin += sizeof open - 1;
            think = (struct tr_string){begin, think.at + think.bytes - begin};
        }
        think = without_first_lines(think);
    }
    if (!behind_question || (!is_last && think.bytes == 0)) {
        put(out, say);
        return;
    }
    tr_text_append(out, "<think>\n");
    put(out, without_last_lines(without_first_lines(think)));
    tr_text_append(out, "\n</think>\n\n");
    put(out, without_first_lines(say));
}

static void put_tool_answer(const struct tr_chat *chat, const struct tr_message *messages, int64_t count, int64_t i,
                            struct tr_text *out)
{
    if (i == 0 || messages[i - 1].role != TR_ROLE_TOOL)
        tr_text_append(out, "<|im_start|>user");
    tr_text_append(out, "\n<tool_response>\n");
    put(out, messages[i].content);
    tr_text_append(out, "\n</tool_response>");
    if (i + 1 == count || messages[i + 1].role != TR_ROLE_TOOL) {
        tr_text_append(out, chat->end);
        tr_text_append(out, chat->after);
    }
}

/* ---- turns ------------------------------------------------------------------------------------------------------- */

static enum tr_status check(const struct tr_chat *chat, const struct tr_message *messages, int64_t count,
                            struct tr_err *err)
{
    for (int64_t i = 0; i < count; i++) {
        enum tr_role role = messages[i].role;
        if (!chat->head[role])
            return tr_fail(err, TR_BAD_INPUT, "message %lld: the chat template %s has no %s messages", (long long)i + 1,
                           chat->name, role_names[role]);
        if (chat->takes_turns && (role == TR_ROLE_USER) != (i % 2 == 0))
            return tr_fail(err, TR_BAD_INPUT, "message %lld is of the %s: in the chat template %s user and assistant take "
                           "turns, the user first", (long long)i + 1, role_names[role], chat->name);
    }
    return TR_OK;
}

static enum tr_status note_reply(struct tr_chat_text *out, size_t begin, size_t end, struct tr_err *err)
{
    if (out->reply_count == out->reply_room) {
        int64_t room = out->reply_room ? 2 * out->reply_room : 8;
        struct tr_chat_reply *more = realloc(out->reply, (size_t)room * sizeof *more);
        if (!more)
            return tr_fail(err, TR_FAILED, "out of memory for %lld replies", (long long)room);
        out->reply = more;
        out->reply_room = room;
    }
    out->reply[out->reply_count++] = (struct tr_chat_reply){begin, end};
    return TR_OK;
}

static void put_end(const struct tr_chat *chat, struct tr_text *out)
{
    tr_text_append(out, chat->end);
    tr_text_append(out, chat->after);
}

/* Before the first message. Returns how many of the messages are said with it. */
static int64_t put_beginning(const struct tr_chat *chat, const struct tr_message *messages, int64_t count,
                             struct tr_text *out)
{
    bool has_system = count > 0 && messages[0].role == TR_ROLE_SYSTEM;
    tr_text_append(out, chat->bos);
    if (chat->dates) {
        tr_text_append(out, chat->head[TR_ROLE_SYSTEM]);
        tr_text_append(out, chat->dates);
        if (has_system)
            put(out, stripped(messages[0].content));
        put_end(chat, out);
        return has_system;
    }
    if (chat->system && !has_system) {
        tr_text_append(out, chat->head[TR_ROLE_SYSTEM]);
        tr_text_append(out, chat->system);
        put_end(chat, out);
    }
    return 0;
}

enum tr_status tr_chat_render(const struct tr_chat *chat, const struct tr_message *messages, int64_t count, bool prompt,
                              struct tr_chat_text *out, struct tr_err *err)
{
    struct tr_text *text = &out->text;
    enum tr_status status = check(chat, messages, count, err);
    int64_t question = chat->thinks ? last_question(messages, count) : 0;
    tr_text_clear(text);
    out->reply_count = 0;
    for (int64_t i = put_beginning(chat, messages, count, text); i < count && status == TR_OK; i++) {
        const struct tr_message *m = &messages[i];
        if (m->role == TR_ROLE_TOOL && chat->answers_tools) {
            put_tool_answer(chat, messages, count, i, text);
            continue;
        }
        tr_text_append(text, chat->head[m->role]);
        size_t begin = text->len;
        if (m->role == TR_ROLE_ASSISTANT && chat->thinks)
            put_reply_with_thoughts(m->content, i > question, i + 1 == count, text);
        else
            put(text, chat->trims ? stripped(m->content) : m->content);
        tr_text_append(text, chat->tail[m->role] ? chat->tail[m->role] : chat->end);
        if (m->role == TR_ROLE_ASSISTANT)
            status = note_reply(out, begin, text->len, err);
        if (!chat->tail[m->role])
            tr_text_append(text, chat->after);
    }
    if (prompt)
        tr_text_append(text, chat->head[TR_ROLE_ASSISTANT]);
    return status == TR_OK && tr_text_failed(text, err) ? TR_FAILED : status;
}

void tr_chat_text_free(struct tr_chat_text *text)
{
    tr_text_free(&text->text);
    free(text->reply);
    *text = (struct tr_chat_text){0};
}
