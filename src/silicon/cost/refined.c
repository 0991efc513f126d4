#include "silicon/cost/refined.h"

#include <stdio.h>
#include <string.h>

static const char *by_of(const struct tr_refined *refined) { return refined->by ? refined->by : ""; }

/* The next word of a text whose words have blanks between; its length, 0: there is none. */
static size_t next_word(const char **at)
{
    *at += strspn(*at, " ");
    return strcspn(*at, " ");
}

int tr_refined_runs(const struct tr_refined *refined)
{
    int count = 0;
    const char *at = by_of(refined);
    for (size_t len; (len = next_word(&at)) > 0; at += len)
        count++;
    return count;
}

bool tr_refined_knows(const struct tr_refined *refined, int64_t attempt)
{
    char wanted[24];
    size_t bytes = (size_t)snprintf(wanted, sizeof wanted, "%lld", (long long)attempt);
    const char *at = by_of(refined);
    for (size_t len; (len = next_word(&at)) > 0; at += len)
        if (len == bytes && memcmp(at, wanted, len) == 0)
            return true;
    return false;
}

const char *tr_refined_words(const struct tr_refined *refined, char words[TR_REFINED_WORDS_BYTES])
{
    int runs = tr_refined_runs(refined);
    words[0] = 0;
    if (runs > 0)
        snprintf(words, TR_REFINED_WORDS_BYTES, ", refined by %d run%s to %.12s", runs, runs == 1 ? "" : "s", refined->date);
    return words;
}

enum tr_status tr_refined_check(const struct tr_refined *refined, const struct tr_entry *entry, struct tr_err *err)
{
    int runs = tr_refined_runs(refined);
    if (strspn(by_of(refined), "0123456789 ") != strlen(by_of(refined)))
        return tr_entry_fail(entry, err, "refined_by: \"%.40s\"; the attempts of runs, numbers with blanks between", refined->by);
    if (runs > TR_REFINED_RUNS_MAX || strlen(by_of(refined)) > TR_REFINED_BY_MAX)
        return tr_entry_fail(entry, err, "refined_by: at most %d runs, in %d bytes", TR_REFINED_RUNS_MAX, TR_REFINED_BY_MAX);
    if (runs > 0 ? !tr_is_date(refined->date) : *refined->date != 0)
        return tr_entry_fail(entry, err, "refined: \"%.20s\"; the date when runs refined it, beside refined_by", refined->date);
    return TR_OK;
}
