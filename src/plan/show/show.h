/* What the catalog knows, in a terminal or as JSON: lists, single entries, and what follows from them.
 *
 *     tr_show_catalog(catalog, "chips", NULL, &options, &text, err)        a table
 *     tr_show_catalog(catalog, "chip", "h100", &options, &text, err)       every number with grade, date and source; ridge
 *                                                                          points, dollars per PFLOP-hour, export rules
 *
 * Words: chips, networks, systems, models, stacks, prices, sites, failures, sources; chip NAME, network NAME, system NAME, site
 * NAME, stack NAME, model NAME (also a preset or a config.json); and prices NAME are those of a chip, a system or a provider. JSON
 * has base units, and each number its unit by name.
 *
 * The price that stands beside a chip is the median of all offers on demand, those up to `date`. */
#ifndef TR_PLAN_SHOW_SHOW_H
#define TR_PLAN_SHOW_SHOW_H

#include "base/text.h"
#include "cloud/cost/cost.h"

struct tr_show_catalog_options {
    const char *date; /* prices as they were then; NULL or "": the newest */
    bool json;
};

/* Whether the first word is one of these. */
bool tr_show_is_catalog(const char *what);

/* Unknown names: TR_BAD_INPUT, naming the nearest; a name too many or too few: TR_BAD_INPUT. */
TR_MUST_CHECK enum tr_status tr_show_catalog(const struct tr_catalog *catalog, const char *what, const char *name,
                                             const struct tr_show_catalog_options *options, struct tr_text *out,
                                             struct tr_err *err);

/* The tables of keys in docs/catalog.md. */
void tr_catalog_keys_markdown(struct tr_text *out);

#endif
