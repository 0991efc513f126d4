#include "plan/run/law.h"

#include "base/fmath.h"

#include <math.h>

#define AT(field) .offset = offsetof(struct tr_law, field)
#define FACT(key, field, low, high, words)                                                                             \
    {key, TR_FIELD_FACT, AT(field), .unit = TR_UNIT_RATIO, .min = low, .max = high, .required = true, .help = words}

static const struct tr_field fields[] = {
    {"name", TR_FIELD_TEXT, AT(name), .required = true, .help = "as people write it"},
    FACT("e", e, 0, 100, "loss = e + a / parameters^alpha + b / tokens^beta, nats a token"),
    FACT("a", a, 1e-9, 1e12, "of parameters"),
    FACT("b", b, 1e-9, 1e12, "of tokens"),
    FACT("alpha", alpha, .01, 10, "of parameters"),
    FACT("beta", beta, .01, 10, "of tokens"),
    FACT("error", error, 0, 10, "half width of the 80 % interval of a loss, nats"),
};

enum { FIELDS = sizeof fields / sizeof *fields };

const struct tr_field *tr_law_fields(int *count)
{
    *count = FIELDS;
    return fields;
}

static enum tr_status read_law(const struct tr_entry *entry, struct tr_law *out, struct tr_err *err)
{
    struct tr_law law = {.id = entry->id};
    enum tr_status status = tr_entry_read(entry, "", fields, FIELDS, &law, err);
    if (status == TR_OK)
        *out = law;
    return status;
}

enum tr_status tr_law_find(const struct tr_catalog *catalog, const char *name, struct tr_law *out, struct tr_err *err)
{
    const struct tr_entry *entry;
    enum tr_status status = tr_catalog_find(catalog, TR_SECTION_LAWS, *name ? name : "default", &entry, err);
    return status == TR_OK ? read_law(entry, out, err) : status;
}

enum tr_status tr_law_check_all(const struct tr_catalog *catalog, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_LAWS) && status == TR_OK; i++) {
        struct tr_law law;
        status = read_law(tr_catalog_entry(catalog, TR_SECTION_LAWS, i), &law, err);
    }
    return status;
}

double tr_law_floor(const struct tr_law *law, double params)
{
    return law->e.value + law->a.value / tr_pow(params, law->alpha.value);
}

double tr_law_loss(const struct tr_law *law, double params, double tokens)
{
    return tr_law_floor(law, params) + law->b.value / tr_pow(tokens, law->beta.value);
}

double tr_law_tokens(const struct tr_law *law, double params, double loss)
{
    double left = loss - tr_law_floor(law, params);
    return left > 0 ? tr_pow(law->b.value / left, 1 / law->beta.value) : INFINITY;
}

/* Where one per cent more of either costs as much compute and brings as much: alpha a / N^alpha = beta b / D^beta. */
bool tr_law_cheapest(const struct tr_law *law, double loss, double *params, double *tokens)
{
    double left = loss - law->e.value, alpha = law->alpha.value, beta = law->beta.value;
    if (!(left > 0))
        return false;
    *params = tr_pow(law->a.value * (1 + alpha / beta) / left, 1 / alpha);
    *tokens = tr_pow(law->b.value * (1 + beta / alpha) / left, 1 / beta);
    return true;
}

double tr_critical_batch(double loss) { return 2e8 / tr_pow(loss, 1 / .21); }

/* A mixture of experts counts as the dense model of its active parameters: it reaches no less. */
enum tr_status tr_law_ask(const struct tr_catalog *catalog, const char *name, const char *model, double params, double loss,
                          struct tr_law_answer *out, struct tr_err *err)
{
    const struct tr_law *law = &out->law;
    double best, of;
    enum tr_status status = tr_law_find(catalog, name, &out->law, err);
    if (status != TR_OK)
        return status;
    out->tokens = tr_law_tokens(law, params, loss);
    if (!(out->tokens <= TR_LAW_TOKENS_MAX) && tr_law_cheapest(law, loss, &best, &of))
        return tr_fail(err, TR_BAD_INPUT,
                       "a loss of %g is out of reach of %s, whose floor is %.3f by %s; %.2g parameters and %.2g tokens "
                       "would reach it", loss, model, tr_law_floor(law, params), law->id, best, of);
    if (!(out->tokens <= TR_LAW_TOKENS_MAX))
        return tr_fail(err, TR_BAD_INPUT, "a loss of %g is out of reach of any model: by %s none is below %.3f", loss, law->id,
                       law->e.value);
    if (out->tokens < 1)
        return tr_fail(err, TR_BAD_INPUT, "a loss of %g is reached before training: a target loss is in nats a token, "
                       "such as 2.1", loss);
    out->tokens = ceil(out->tokens);
    out->low = tr_law_tokens(law, params, loss + law->error.value);
    out->high = tr_law_tokens(law, params, loss - law->error.value);
    return TR_OK;
}
