/* Pages keep numbers and their units on one line. Tests look for words: no-break spaces become plain ones, in place. */
#ifndef TR_TESTS_LIB_PLAIN_H
#define TR_TESTS_LIB_PLAIN_H

#include <string.h>

static inline char *tr_plain(char *html)
{
    char *to = html;
    for (const char *from = html; *from; to++) {
        const int no_break = strncmp(from, "\u00a0", 2) == 0;
        *to = no_break ? ' ' : *from;
        from += no_break ? 2 : 1;
    }
    *to = '\0';
    return html;
}

#endif
