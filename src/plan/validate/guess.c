#include "plan/validate/guess.h"

#include "base/fmath.h"
#include "base/num.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static double scale_of(char letter)
{
    switch (letter) {
    case 'k':
    case 'K':
        return 1e3;
    case 'M':
    case 'm':
        return 1e6;
    case 'B':
    case 'b':
        return 1e9;
    case 'T':
        return 1e12;
    default:
        return 0;
    }
}

/* The number with a letter of size that begins there, as in "14.8T"; *end: behind it. 0: none does. */
static double sized_number(const char *text, const char **end)
{
    const char *at = text;
    double value = 0, place = 1;
    while (isdigit((unsigned char)*at))
        value = 10 * value + (*at++ - '0');
    if (at == text)
        return 0;
    if (*at == '.')
        for (at++; isdigit((unsigned char)*at); at++)
            value += (*at - '0') * (place /= 10);
    double scale = scale_of(*at);
    *end = at + 1;
    return scale > 0 && value * scale < 1e18 ? value * scale : 0;
}

/* The first sized number that one of the words follows. */
static double before_word(const char *text, const char *const *words)
{
    for (const char *at = text, *end; *at; at++) {
        if ((at > text && (isalnum((unsigned char)at[-1]) || at[-1] == '.')) || !isdigit((unsigned char)*at))
            continue;
        double value = sized_number(at, &end);
        for (int i = 0; value > 0 && words[i]; i++)
            if (strncmp(end, words[i], strlen(words[i])) == 0)
                return value;
    }
    return 0;
}

double tr_notes_tokens(const char *notes)
{
    static const char *const words[] = {" tokens", "+ tokens", "-token", NULL};
    return before_word(notes, words);
}

double tr_notes_steps(const char *notes)
{
    static const char *const words[] = {" steps", " iterations", NULL};
    return before_word(notes, words);
}

/* "Llama4-Scout (109B-A17B)": the largest size in it, and the one behind an A. */
static void sizes_of(const char *name, double *total, double *active)
{
    for (const char *at = name, *end; *at; at++) {
        bool begins = at == name || !(isdigit((unsigned char)at[-1]) || at[-1] == '.');
        double value = begins ? sized_number(at, &end) : 0;
        if (!(value >= 1e6) || isalnum((unsigned char)*end))
            continue;
        bool of_token = at > name && (at[-1] == 'A' || at[-1] == 'a') && !(at - 1 > name && isalnum((unsigned char)at[-2]));
        double *to = of_token ? active : total;
        *to = fmax(*to, value);
    }
}

bool tr_guess_model(const char *name, double total, double active, struct tr_model_shape *s)
{
    const double aspect = 128;
    if (!(total > 0) && !(active > 0))
        sizes_of(name, &total, &active);
    if (!(active > 0) || active > total)
        active = total > 0 ? total : active;
    total = fmax(total, active);
    if (!(active >= 1e6 && total <= 1e14))
        return false;
    /* 12 layers width^2 parameters, embeddings aside. */
    int64_t layers = tr_max_i64(2, llround(tr_pow(active / (12 * aspect * aspect), 1. / 3)));
    const double wide = sqrt(active / (12 * (double)layers)), grain = wide > 4096 ? 1024 : 128; /* heads that tp divides */
    int64_t width = tr_max_i64(128, (int64_t)grain * llround(wide / grain));
    layers = tr_max_i64(2, llround(active / (12 * (double)width * (double)width)));
    *s = (struct tr_model_shape){.layers = (int32_t)tr_min_i64(layers, 250), .width = width, .heads = width / 128,
                                 .kv_heads = width / 128, .head_dim = 128, .value_dim = 128, .vocab = 128256, .positions = 8192,
                                 .gated = true, .rope = true};
    s->ffn = tr_round_up(width * 8 / 3, 128);
    if (active > .9 * total)
        return true;
    s->top_k = 8, s->moe_every = 1;
    s->expert_ffn = tr_round_up(s->ffn / s->top_k, 64), s->ffn = 0;
    double others = active - (double)(s->layers * s->top_k * 3) * (double)(width * s->expert_ffn);
    double experts = (total - fmax(0, others)) / ((double)(s->layers * 3) * (double)(width * s->expert_ffn));
    for (s->experts = 16; s->experts < 512 && (double)s->experts * 1.5 < experts;)
        s->experts *= 2;
    return true;
}

int64_t tr_guess_batch(int64_t seq_len, int64_t chips)
{
    return tr_round_up(tr_max_i64(1, TR_USUAL_BATCH_TOKENS / seq_len), chips);
}

int64_t tr_guess_chips(double chip_hours)
{
    const double month = 30 * 24;
    int64_t chips = 8;
    while ((double)chips * month * 1.5 < chip_hours && chips < 1 << 14)
        chips *= 2;
    return chips;
}
