/* What a template is made of. Internal to lab/chat. */
#ifndef TR_LAB_CHAT_TEMPLATE_H
#define TR_LAB_CHAT_TEMPLATE_H

#include "lab/chat/chat.h"

enum { TR_CHAT_SUMS_MAX = 3 };

struct tr_chat {
    const char *name;
    const char *bos;                    /* before all, "" for nothing */
    const char *system;                 /* where the first message is of no system; NULL: nothing */
    const char *head[TR_ROLE_COUNT];    /* before a content; NULL: the template has no such role */
    const char *tail[TR_ROLE_COUNT];    /* behind it, the end of the turn left out; NULL: nothing */
    const char *end;                    /* the token that ends a turn */
    const char *after;                  /* behind that */
    bool trims;                         /* contents lose the white space around them */
    bool takes_turns;                   /* user and assistant, beginning with the user; a user's turn has no end if
                                           `tail` has one */
    bool answers_tools;                 /* tool messages in a row are one user turn (qwen2.5) */
    bool thinks;                        /* qwen3 */
    const char *dates;                  /* llama3.1: begins the system turn, which is always there */
    const char *jinja;
    const char *sum[TR_CHAT_SUMS_MAX];  /* SHA-256 of published texts: \n within them read as a line end, no white space
                                           at their end */
};

#endif
