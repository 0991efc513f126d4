/* A plan in words, for programs, and as a file that later commands take. */
#ifndef TR_PLAN_PRINT_PRINT_H
#define TR_PLAN_PRINT_PRINT_H

#include "base/json.h"
#include "base/text.h"
#include "plan/run/run.h"

/* Tables for a terminal of about 80 columns. */
void tr_plan_text(const struct tr_plan *plan, struct tr_text *out);
/* One JSON object; what is not known is null. Base units, which are in the keys. */
void tr_plan_json(const struct tr_plan *plan, struct tr_text *out);

/* "megatron-core, bf16, 2048 tokens x 1536 sequences" and the like, one line each, without a newline. */
void tr_plan_title(const struct tr_plan *plan, struct tr_text *out);
void tr_plan_subtitle(const struct tr_plan *plan, struct tr_text *out);
/* "10 M tokens in 1 step of 1000000 sequences of 256 tokens (256 M, more than was asked for)". */
void tr_plan_tokens_words(double tokens, int64_t steps, int64_t batch, int64_t seq_len, struct tr_text *out);
/* "loss 2.1 takes 62.9 B tokens, 46.41 B to 86.98 B (80 % interval), by besiroglu-2024" and a newline; high may be INFINITY. */
void tr_plan_target_words(double loss, double tokens, double low, double high, const char *law, struct tr_text *out);
/* "44 %"; of products in fewer bits "14 % of the fp8 peak", which is twice that of 16 bits. */
enum { TR_MFU_WORDS_BYTES = 2 * TR_QUANTITY_BYTES };
const char *tr_plan_mfu_words(const struct tr_plan *plan, char words[TR_MFU_WORDS_BYTES]);
/* "priced as if xla did zero1 and zero-bubble, which it does not" and a newline; nothing where the stack does all of the layout. */
void tr_plan_undone(const struct tr_plan *plan, struct tr_text *out);
/* "limited by matrix rate (989 TFLOP/s): +10 % there gives -7.9 %". */
void tr_plan_limit(const struct tr_plan *plan, struct tr_text *out);
/* "319.4 MWh". Returns buf. */
const char *tr_plan_energy(char buf[TR_QUANTITY_BYTES], double joules);
/* "on demand". Returns buf. */
const char *tr_plan_commitment(char buf[TR_QUANTITY_BYTES], int commitment);
/* "8.2 %". Returns buf. */
const char *tr_plan_percent(char buf[TR_QUANTITY_BYTES], double fraction);

/* A line about modules for further tokens, without a newline; nothing when there are none. */
void tr_plan_further(const struct tr_plan *plan, struct tr_text *out);
/* What a search looked at and chose, and what each limit of it costs: lines. The plan fits, and was searched. */
void tr_plan_searched(const struct tr_plan *plan, struct tr_text *out);
/* "from 53 GiB to 80 GiB (80 % interval)", and where it may not fit, what would surely; without a newline. */
void tr_plan_memory_interval(const struct tr_plan *plan, struct tr_text *out);
/* What the run takes beside dollars, a row each: "failures", "3.5 expected, one in 2.1 days (...)". */
void tr_plan_run_rows(const struct tr_plan *plan, void (*row)(void *context, const char *what, const char *says), void *context);
/* What the lever is now, "989.5 TFLOP/s"; "" where that is many numbers. */
const char *tr_plan_lever_now(const struct tr_plan *plan, enum tr_lever lever, char buf[TR_QUANTITY_BYTES]);
/* Whether tables of levers have it. */
bool tr_plan_has_lever(const struct tr_plan *plan, enum tr_lever lever);
/* "memory; without it 8.2 % less time, with tp2 dp512 mb3 sp zero1": of a plan's limits, or of those in its file. */
void tr_plan_limit_words(const char *name, double gain, const char *layout, struct tr_text *out);
/* Which layouts stand in the list of the fastest, and how many are left out: a sentence, without a newline. */
void tr_plan_next_rule(const struct tr_plan *plan, struct tr_text *out);
/* Lines about the target loss; nothing when there is none. */
void tr_plan_target(const struct tr_plan *plan, struct tr_text *out);

#endif
