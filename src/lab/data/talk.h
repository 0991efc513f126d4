/* Conversations of *.jsonl files become text and tokens, one at a time: internal to lab/data and for looking at them.
 *
 *     struct tr_talk talk;
 *     tr_talk_open(&talk, chat, token, err)
 *     tr_talk_start(&talk, file, err)
 *     while (tr_talk_next(&talk, err) == TR_OK)
 *         ... talk.text, talk.tokens ...
 *     tr_talk_close(&talk); */
#ifndef TR_LAB_DATA_TALK_H
#define TR_LAB_DATA_TALK_H

#include "lab/chat/chat.h"
#include "lab/data/jsonl.h"
#include "lab/data/source.h"

struct tr_talk {
    const struct tr_chat *chat;
    const struct tr_token *token;
    struct tr_encoder *encoder;
    struct tr_jsonl lines;
    struct tr_conversation conversation;
    struct tr_chat_text text;     /* of the last one */
    struct tr_chat_tokens tokens;
};

/* TR_BAD_INPUT: the tokenizer lacks the token that ends a turn. To be closed in any case. */
TR_MUST_CHECK enum tr_status tr_talk_open(struct tr_talk *talk, const struct tr_chat *chat, const struct tr_token *token,
                                          struct tr_err *err);
void tr_talk_close(struct tr_talk *talk);

TR_MUST_CHECK enum tr_status tr_talk_start(struct tr_talk *talk, const struct tr_source_file *file, struct tr_err *err);
/* TR_NO: there are no more. TR_BAD_INPUT with path:line. */
TR_MUST_CHECK enum tr_status tr_talk_next(struct tr_talk *talk, struct tr_err *err);

#endif
