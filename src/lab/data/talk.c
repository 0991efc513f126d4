#include "lab/data/talk.h"

enum tr_status tr_talk_open(struct tr_talk *talk, const struct tr_chat *chat, const struct tr_token *token,
                            struct tr_err *err)
{
    int64_t end;
    *talk = (struct tr_talk){.chat = chat, .token = token};
    enum tr_status status = tr_chat_end_id(chat, token, &end, err);
    return status == TR_OK ? tr_encoder_make(token, &talk->encoder, err) : status;
}

void tr_talk_close(struct tr_talk *talk)
{
    tr_encoder_free(talk->encoder);
    tr_jsonl_close(&talk->lines);
    tr_conversation_free(&talk->conversation);
    tr_chat_text_free(&talk->text);
    tr_chat_tokens_free(&talk->tokens);
    *talk = (struct tr_talk){0};
}

enum tr_status tr_talk_start(struct tr_talk *talk, const struct tr_source_file *file, struct tr_err *err)
{
    if (!tr_jsonl_is_name(file->path))
        return tr_fail(err, TR_BAD_INPUT, "%s: is no *%s, and the data are conversations: keep them apart", file->path,
                       TR_JSONL_ENDING);
    tr_jsonl_close(&talk->lines);
    return tr_jsonl_open(&talk->lines, file->path, file->bytes, err);
}

enum tr_status tr_talk_next(struct tr_talk *talk, struct tr_err *err)
{
    const char *line;
    size_t bytes;
    struct tr_doc *doc = NULL;
    struct tr_conversation *c = &talk->conversation;
    enum tr_status status = tr_jsonl_next(&talk->lines, &line, &bytes, err);
    if (status == TR_OK)
        status = tr_jsonl_parse_talk(talk->lines.path, talk->lines.line, line, bytes, &doc, c, err);
    if (status != TR_OK)
        return status;
    status = tr_chat_render(talk->chat, c->message, c->count, false, &talk->text, err);
    if (status == TR_OK)
        status = tr_chat_encode(talk->chat, talk->encoder, talk->token, &talk->text, &talk->tokens, err);
    if (status == TR_BAD_INPUT)
        tr_err_prefix(err, "%s:%lld", talk->lines.path, (long long)talk->lines.line);
    tr_doc_free(doc);
    return status;
}
