/* The catalog: what is known about chips, systems, networks, prices, failures and models, every number with its unit,
 * source, date and grade of evidence. The files of catalog/ are in the program; a user's own come on top.
 *
 *     struct tr_catalog *catalog;
 *     tr_catalog_open(&catalog, err)                              what the program brings
 *     tr_catalog_add(catalog, "my-cluster.yaml", err)             a file, or a folder of *.yaml files
 *     const struct tr_entry *entry;
 *     tr_catalog_find(catalog, TR_SECTION_CHIPS, "h100", &entry, err)
 *     tr_entry_read(entry, "", fields, field_count, &chip, err)   (who reads what: chip/chip.h and its like)
 *     tr_catalog_free(catalog);
 *
 * A file holds sections, a section entries by id (letters, digits, '.', '-', '_'):
 *
 *     sources:
 *       sheet: {title: "Example X1 data sheet", where: "example.com/x1.pdf, page 2", date: 2024-03, grade: stated}
 *     chips:
 *       x1:
 *         like: h100-sxm                     everything that is not said here is as there
 *         aliases: [example-x1]              other names; case, '-', '_' and blanks count nothing
 *         source: sheet                      of all numbers below that do not say theirs
 *         memory: 96GiB
 *         dense:
 *           bf16: {value: 800TFLOP/s, source: sheet, date: 2024-03, grade: measured, note: "at 1.7 GHz"}
 *           fp8: null                        takes away what it would inherit
 *
 * `source`, `date` and `grade` may stand at a number, at a group around it, or at the entry; the innermost counts, and
 * what none says is the source's own. A number with no source at all is assumed: its source is then the file. Numbers
 * demand their units; counts and shares have none.
 *
 * Layers: the program's files are one layer, each tr_catalog_add makes another. Within a layer an id is there once. A
 * later layer may replace an entry, or extend it (`like:` its own id); entries of earlier layers keep what they are
 * like. All failures of files name path:line:col; unknown names and keys name the nearest.
 *
 * Ownership: strings, sources and nodes live as long as the catalog. After a failed tr_catalog_add only
 * tr_catalog_free is allowed. Reading from several threads is safe. */
#ifndef TR_SILICON_CATALOG_CATALOG_H
#define TR_SILICON_CATALOG_CATALOG_H

#include "base/doc.h"

enum tr_section {
    TR_SECTION_CHIPS,
    TR_SECTION_FITS, /* by chip: fitted parameters of the cost model (chip/fit.h) */
    TR_SECTION_NETWORKS,
    TR_SECTION_SYSTEMS,
    TR_SECTION_PRICES,
    TR_SECTION_SITES, /* where machines stand: PUE, carbon of the grid */
    TR_SECTION_FAILURES,
    TR_SECTION_MODELS,
    TR_SECTION_STACKS,     /* software that runs steps (plan/stack) */
    TR_SECTION_LAWS,       /* scaling laws (plan/run/law.h) */
    TR_SECTION_STACK_FITS, /* by stack: what was fitted to whole runs */
    TR_SECTION_KERNELS,    /* of a processor: what trine's own kernels take on it (cost/kernels.h) */
    TR_SECTION_EXCHANGES,  /* of a machine: what exchanging bytes takes its ranks (cost/exchange.h) */
    TR_SECTION_COUNT
};

enum {
    TR_CATALOG_MAX_FILES = 1024,
    TR_CATALOG_MAX_LAYERS = 64,
    TR_CATALOG_MAX_ENTRIES = 8192,
    TR_CATALOG_MAX_SOURCES = 4096,
    TR_CATALOG_MAX_LIKES = 16, /* how long a chain of `like` may be */
    TR_CATALOG_MAX_ALIASES = 16,
    TR_CATALOG_ID_BYTES = 64,
    TR_FACT_DATE_BYTES = 12
};

/* How much a number is worth, best first. What is made of several is worth what the least of them is. */
enum tr_grade {
    TR_GRADE_NONE,         /* not known: the number is not there */
    TR_GRADE_MEASURED,     /* somebody ran it and wrote down what came out */
    TR_GRADE_STATED,       /* by who makes or sells it: data sheet, documentation, price list */
    TR_GRADE_INTERPOLATED, /* between measured ones, or fitted to them */
    TR_GRADE_TRANSFERRED,  /* measured or fitted on something else that is alike */
    TR_GRADE_ASSUMED,      /* an estimate, a rumour, a default */
    TR_GRADE_COUNT
};

struct tr_source {
    const char *id, *title, *where; /* where: "" when not known */
    char date[TR_FACT_DATE_BYTES];  /* "2024", "2024-03" or "2024-03-17"; "" when not known */
    enum tr_grade grade;            /* of its numbers, when they say nothing else */
};

/* A number in base units (base/quantity.h) and where it is from. A zeroed struct is a number that is not known. */
struct tr_fact {
    double value; /* 0 when not known */
    enum tr_grade grade;
    const struct tr_source *source; /* NULL only when not known, or computed by the program */
    char date[TR_FACT_DATE_BYTES];  /* as of a source */
    const char *note;               /* NULL: none */
};

static inline bool tr_known(const struct tr_fact *fact) { return fact->grade != TR_GRADE_NONE; }
static inline double tr_fact_or(const struct tr_fact *fact, double otherwise)
{
    return tr_known(fact) ? fact->value : otherwise;
}

static inline enum tr_grade tr_grade_worse(enum tr_grade a, enum tr_grade b) { return a > b ? a : b; }

const char *tr_grade_name(enum tr_grade grade);       /* "measured" ... "unknown" */
const char *tr_section_name(enum tr_section section); /* "chips" ... */

struct tr_catalog;

struct tr_entry {
    const char *id;
    enum tr_section section;
    const struct tr_catalog *catalog;
    const struct tr_node *node;   /* its own keys */
    const struct tr_entry *base;  /* what it is like; NULL: nothing */
    const char *alias[TR_CATALOG_MAX_ALIASES];
    int alias_count;
    int layer;                    /* 0: the program's own */
    const struct tr_source *file; /* of numbers without a source: the file, grade assumed */
};

/* --- opening --- */

TR_MUST_CHECK enum tr_status tr_catalog_open(struct tr_catalog **out, struct tr_err *err);
/* Without the program's own files: for tests. */
TR_MUST_CHECK enum tr_status tr_catalog_open_empty(struct tr_catalog **out, struct tr_err *err);
/* A layer more: a file, or all *.yaml of a folder and of the folders in it, by name. */
TR_MUST_CHECK enum tr_status tr_catalog_add(struct tr_catalog *catalog, const char *path, struct tr_err *err);
/* A layer of one text; `name` is what sentences call it. */
TR_MUST_CHECK enum tr_status tr_catalog_add_text(struct tr_catalog *catalog, const char *name, const char *data,
                                                 size_t bytes, struct tr_err *err);
void tr_catalog_free(struct tr_catalog *catalog); /* NULL is fine */

/* --- entries --- */

/* Those that count (replaced ones are not listed), the program's first, in the order of files and of a file. */
int tr_catalog_count(const struct tr_catalog *catalog, enum tr_section section);
const struct tr_entry *tr_catalog_entry(const struct tr_catalog *catalog, enum tr_section section, int index);

/* By id, alias or what its key `name` says. Unknown: TR_BAD_INPUT, `unknown chip "h10"; did you mean h100-sxm?`. */
TR_MUST_CHECK enum tr_status tr_catalog_find(const struct tr_catalog *catalog, enum tr_section section,
                                             const char *name, const struct tr_entry **out, struct tr_err *err);
/* The same; NULL when there is none. */
const struct tr_entry *tr_catalog_look(const struct tr_catalog *catalog, enum tr_section section, const char *name);

int tr_catalog_source_count(const struct tr_catalog *catalog);
const struct tr_source *tr_catalog_source(const struct tr_catalog *catalog, int index);

/* "2024", "2024-03" or "2024-03-17". */
bool tr_is_date(const char *text);

/* Whether two names mean the same: case, '-', '_' and blanks count nothing. */
bool tr_names_equal(const char *a, const char *b);

/* --- reading an entry by a table of its keys --- */

enum tr_field_kind {   /* the type at `offset` */
    TR_FIELD_FACT,     /* struct tr_fact: `unit`, `min`..`max` */
    TR_FIELD_WHOLE,    /* int64_t, min..max */
    TR_FIELD_TEXT,     /* const char *; the target's own value when absent */
    TR_FIELD_ENUM,     /* int: index into `choices` */
    TR_FIELD_FLAG,     /* bool */
    TR_FIELD_GROUP     /* nothing is stored: a key that somebody reads for himself, by tr_entry_node */
};

struct tr_field {
    const char *path; /* "memory", or "dense.bf16" inside of a group */
    enum tr_field_kind kind;
    size_t offset;
    enum tr_unit unit;
    double min, max;
    bool required;
    const char *const *choices; /* NULL at the end */
    const char *help;           /* one line, for docs */
};

/* Fills *target from the group `prefix` of the entry ("" is the entry itself, "tiers.nvlink" a group in it), following
 * `like`. What is absent stays as it was. Unknown keys, wrong kinds, units and ranges, absent required keys:
 * TR_BAD_INPUT with the place. On failure *target may be half filled. */
TR_MUST_CHECK enum tr_status tr_entry_read(const struct tr_entry *entry, const char *prefix,
                                           const struct tr_field *fields, int count, void *target,
                                           struct tr_err *err);

/* The node at a path, following `like`; NULL when absent or taken away by null. *holder (may be NULL): the entry that
 * says it. */
const struct tr_node *tr_entry_node(const struct tr_entry *entry, const char *path, const struct tr_entry **holder);

/* The keys of the group at `path`, those of what it is like first; *count of them in keys[0..max). More than max, or
 * something that is no group: TR_BAD_INPUT. An absent group has 0. */
TR_MUST_CHECK enum tr_status tr_entry_keys(const struct tr_entry *entry, const char *path, const char **keys, int max,
                                           int *count, struct tr_err *err);

/* One number by its node, with the defaults of the groups around it. */
TR_MUST_CHECK enum tr_status tr_entry_fact(const struct tr_entry *holder, const struct tr_node *node,
                                           enum tr_unit unit, double min, double max, struct tr_fact *out,
                                           struct tr_err *err);

/* The entry of another section whose name stands at `key`. Absent: *out stays as it is. Unknown: TR_BAD_INPUT at the key,
 * naming the nearest. */
TR_MUST_CHECK enum tr_status tr_entry_named(const struct tr_entry *entry, const char *key, enum tr_section section,
                                            const struct tr_entry **out, struct tr_err *err);

/* A complaint about the entry as a whole: `catalog/chips/x.yaml:3:3: chips.x1: <fmt...>`. Returns TR_BAD_INPUT. */
enum tr_status tr_entry_fail(const struct tr_entry *entry, struct tr_err *err, const char *fmt, ...) TR_PRINTF(3, 4);

#endif
