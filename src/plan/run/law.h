/* Scaling laws: how many tokens a loss takes.
 *
 *     struct tr_law law;
 *     tr_law_find(catalog, "", &law, err)                    the default: Besiroglu et al. 2024
 *     double tokens = tr_law_tokens(&law, params, 2.0);      INFINITY: no number of tokens brings that model there
 *
 *     loss = e + a / parameters^alpha + b / tokens^beta      nats a token; section `scaling_laws` of the catalog
 *
 * A law is a fit to dense models of one family, with its data and its tokenizer. What it says of other data is a guess, and
 * far from the runs it was fitted to (70 M to 16 B parameters, 5 B to 1.4 T tokens) an extrapolation. */
#ifndef TR_PLAN_RUN_LAW_H
#define TR_PLAN_RUN_LAW_H

#include "silicon/catalog/catalog.h"

struct tr_law {
    const char *id, *name;
    struct tr_fact e, a, b, alpha, beta;
    struct tr_fact error; /* half width of the 80 % interval of a loss, nats */
};

/* By id or alias; "": the default. */
TR_MUST_CHECK enum tr_status tr_law_find(const struct tr_catalog *catalog, const char *name, struct tr_law *out,
                                         struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_law_check_all(const struct tr_catalog *catalog, struct tr_err *err);
const struct tr_field *tr_law_fields(int *count);

/* params > 0. */
double tr_law_loss(const struct tr_law *law, double params, double tokens);
double tr_law_tokens(const struct tr_law *law, double params, double loss);
/* With endless data. */
double tr_law_floor(const struct tr_law *law, double params);
/* The parameters and tokens that reach the loss with the least 6 x parameters x tokens; false: the loss is not above e. */
bool tr_law_cheapest(const struct tr_law *law, double loss, double *params, double *tokens);

/* How many tokens bring a model there, and from where to where the law's own error makes of them (80 %; high may be INFINITY).
 * TR_BAD_INPUT: no number of tokens does; the sentence says what would. */
#define TR_LAW_TOKENS_MAX 1e18
struct tr_law_answer {
    struct tr_law law;
    double tokens, low, high;
};
TR_MUST_CHECK enum tr_status tr_law_ask(const struct tr_catalog *catalog, const char *name, const char *model, double params,
                                        double loss, struct tr_law_answer *out, struct tr_err *err);

/* Tokens a step above which more of them bring less than in proportion, at that loss (Kaplan et al. 2020). Within a factor
 * of a few: the law is of other data than the loss may be of. */
double tr_critical_batch(double loss);

#endif
