/* Inside of plan/show: what its files share. Not for others. */
#ifndef TR_PLAN_SHOW_INSIDE_H
#define TR_PLAN_SHOW_INSIDE_H

#include "base/json.h"
#include "base/table.h"
#include "plan/show/show.h"

/* One call of tr_show_catalog. */
struct tr_showing {
    const struct tr_catalog *catalog;
    const struct tr_show_catalog_options *options;
    const char *name; /* NULL: none was given */
    struct tr_text *out;
    struct tr_json json; /* in use when options->json */
    struct tr_err *err;
    int shown; /* prices: offers of whom or what was asked for, */
    const struct tr_entry *chip; /* and of this chip; NULL: no chip or system was named */
};

/* A list of one section: an entry a row, or a value in an array. */
struct tr_listing {
    enum tr_section section;
    struct {
        const char *name;
        enum tr_side side;
    } column[TR_TABLE_MAX_COLUMNS]; /* the first without a name ends them */
    /* Puts the entry into the table, or into s->json where table is NULL. */
    enum tr_status (*row)(struct tr_showing *s, const struct tr_entry *entry, struct tr_table *table);
    const char *note; /* below the table; NULL: nothing */
};
enum tr_status tr_show_list(struct tr_showing *s, const struct tr_listing *listing);

/* --- numbers: facts.c --- */

/* "3.35 TB/s", "-" when not known; the unit as people write it. */
const char *tr_fact_text(const struct tr_fact *fact, enum tr_unit unit, char buf[TR_QUANTITY_BYTES]);
/* {"value", "unit", "grade", "source", "date", "note"}; null when not known. */
void tr_fact_json(struct tr_json *json, const char *key, const struct tr_fact *fact, enum tr_unit unit);

/* The facts of a struct that a table of fields describes: a table with grade, date and source; or JSON keys. */
void tr_facts_table(const struct tr_field *fields, int count, const void *of, struct tr_text *out);
void tr_facts_json(const struct tr_field *fields, int count, const void *of, struct tr_json *json);

/* What an entry is called besides its id. */
void tr_aliases_text(const struct tr_entry *entry, struct tr_text *out);
void tr_aliases_json(const struct tr_entry *entry, struct tr_json *json);

/* Titles and places of the sources that facts named. */
struct tr_source_list {
    const struct tr_source *of[64];
    int count;
};
void tr_source_add(struct tr_source_list *list, const struct tr_source *source); /* NULL: none */
void tr_sources_add(struct tr_source_list *list, const struct tr_field *fields, int count, const void *of);
void tr_sources_text(const struct tr_source_list *list, struct tr_text *out);

/* A number in a table, "-" when it is not one. */
void tr_cell_number(struct tr_table *table, int decimals, double value);

/* --- what is shown; each returns TR_OK or has put a sentence into err --- */
enum tr_status tr_show_chips(struct tr_showing *s);
enum tr_status tr_show_chip(struct tr_showing *s);
enum tr_status tr_show_networks(struct tr_showing *s);
enum tr_status tr_show_network(struct tr_showing *s);
enum tr_status tr_show_systems(struct tr_showing *s);
enum tr_status tr_show_system(struct tr_showing *s);
enum tr_status tr_show_prices(struct tr_showing *s);
enum tr_status tr_show_sites(struct tr_showing *s);
enum tr_status tr_show_site(struct tr_showing *s);
enum tr_status tr_show_failures(struct tr_showing *s);
enum tr_status tr_show_sources(struct tr_showing *s);
enum tr_status tr_show_stacks(struct tr_showing *s);
enum tr_status tr_show_stack(struct tr_showing *s);
enum tr_status tr_show_models(struct tr_showing *s);
enum tr_status tr_show_model_shape(struct tr_showing *s);

/* What a calibration, and runs, found on a chip: each number with its source, which are noted in `sources` (of text alone). */
enum tr_status tr_show_kernels(struct tr_showing *s, const struct tr_chip *chip, struct tr_source_list *sources);

/* Dollars of a chip, an hour, whoever offers it. */
enum tr_status tr_chip_price(const struct tr_showing *s, const struct tr_chip *chip, enum tr_commitment commitment,
                             struct tr_price *out);
/* As a system of nobody, for prices. */
struct tr_system tr_chip_alone(const struct tr_chip *chip);
/* What plans take of each way to pay, a line each; chip: whose prices were asked for. */
void tr_prices_text(const struct tr_price price[TR_COMMITMENT_COUNT], const struct tr_entry *chip, struct tr_text *out);

#endif
