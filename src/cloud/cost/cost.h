/* What a run costs: dollars, energy, carbon, and what failures take of its time.
 *
 *     struct tr_price price;
 *     struct tr_price_query query = {.commitment = TR_COMMITMENT_ON_DEMAND, .date = "2026-05"};
 *     tr_price_find(catalog, &system, &query, &price, err)
 *     if (tr_known(&price.usd_h)) price.usd_h.value               of one chip, an hour; price.low .. price.high
 *
 *     struct tr_place site;
 *     tr_place_for(catalog, &system, "us", &site, err)             PUE, carbon of the grid, load of a node in training
 *     struct tr_failures failures;
 *     tr_failures_for(catalog, &system, query.commitment, &failures, err)
 *
 *     struct tr_job job = {.system = &system, .chips = 1024, .busy_s = 30 * 86400, .state_bytes = 2.45e12,
 *                          .price = &price, .site = &site, .failures = &failures};
 *     struct tr_job_cost cost = tr_job_cost(&job);
 *     cost.goodput, cost.wall_s, cost.chip_hours, cost.usd, cost.energy_j, cost.carbon_g, cost.interval_s, cost.failures
 *
 * The catalog is read by the *_find and *_for functions; everything after them is arithmetic, takes no memory and may be
 * called by many threads. A price, a site and failures are plain values: read them once and price a million layouts.
 * What is not known stays not known (tr_known), and the answers that need it are NAN: nothing is invented.
 *
 * How wrong it can be: README.md. */
#ifndef TR_CLOUD_COST_COST_H
#define TR_CLOUD_COST_COST_H

#include "cloud/cluster/cluster.h"

/* --- prices: section `prices`, an offer each --- */

enum tr_commitment {
    TR_COMMITMENT_ON_DEMAND,
    TR_COMMITMENT_SPOT,        /* may be taken away at any time */
    TR_COMMITMENT_RESERVED_1Y, /* or blocks of weeks that are paid in advance */
    TR_COMMITMENT_RESERVED_3Y,
    TR_COMMITMENT_OWNED,       /* what it costs its owner, capital and operation, over its life */
    TR_COMMITMENT_COUNT
};

const char *tr_commitment_name(enum tr_commitment commitment);       /* "on_demand", as in files */
extern const char *const tr_commitment_names[];                      /* by commitment; NULL after the last */

struct tr_offer {
    const char *id, *name;
    const char *provider;          /* "aws" */
    const char *instance;          /* "p5.48xlarge"; "" when it is sold by the chip */
    const char *region;            /* "" when in several */
    const struct tr_entry *entry;
    const struct tr_entry *chip;   /* never NULL */
    const struct tr_entry *system; /* NULL: none of the catalog's */
    int64_t chips;                 /* that it has */
    struct tr_fact usd_h[TR_COMMITMENT_COUNT]; /* of one chip; as of the fact's date. At least one is known */
};

TR_MUST_CHECK enum tr_status tr_offer_read(const struct tr_entry *entry, struct tr_offer *out, struct tr_err *err);

struct tr_price_query {
    enum tr_commitment commitment;
    const char *provider; /* NULL or "": the operator of the system, or any */
    const char *date;     /* "2026", "2026-05", "2026-05-20": as it was then; NULL or "": the newest */
};

/* Of each provider and instance the newest offer. */
struct tr_offered {
    const char *provider, *instance; /* instance: "" when it is sold by the chip */
    struct tr_fact usd_h;
};

enum { TR_OFFERED_NAME_BYTES = 64 };
const char *tr_offered_name(const struct tr_offered *offer, char buf[TR_OFFERED_NAME_BYTES]); /* "aws p5.48xlarge", "lambda" */

/* Of one chip. Several offers: their median (of two in the middle the mean, and the dearer one's name, source and date), and the
 * range of all; its grade is the worst of theirs. */
enum { TR_PRICE_OFFERS_MAX = 128 }; /* more are left out */
struct tr_price {
    struct tr_fact usd_h; /* not known: nobody offers it, or not at that date */
    char since[TR_FACT_DATE_BYTES]; /* "": not known, and nobody offers it; else the date of the first offer, where that came later than was asked */
    double low, high;
    int offers;
    int middle;           /* of them, whose name and source the price has */
    struct tr_offered offer[TR_PRICE_OFFERS_MAX]; /* the cheapest first */
    const struct tr_entry *chip; /* the one that is offered: the system's, or what that is like; NULL when not known */
    bool transferred;     /* that is what the system's chip is like */
    const char *provider; /* whose offer usd_h is; "" when not known */
    enum tr_commitment commitment;
};

/* Offers of that very system; else of its operator for its chip; else of anybody for its chip; else for the chip that
 * its chip is like, and then the grade is `transferred`. Of each provider and instance the newest offer up to the date
 * counts. A provider that offers nothing at all: TR_BAD_INPUT, naming the nearest; one that does not offer this: not
 * known. */
TR_MUST_CHECK enum tr_status tr_price_find(const struct tr_catalog *catalog, const struct tr_system *system,
                                           const struct tr_price_query *query, struct tr_price *out,
                                           struct tr_err *err);

/* "median of 13 offers, 2025-03 to 2026-08, $2.15 to $15.98; in the middle lambda"; of a chip that the system's is like "13 offers of
 * h100-sxm". Asserts that the price is known. Returns buf. */
enum { TR_PRICE_WORDS_BYTES = 256 };
const char *tr_price_words(const struct tr_price *price, char buf[TR_PRICE_WORDS_BYTES]);

/* Medians of different dates and sellers may make a way to pay that binds longer the dearer one: "; older, and dearer than on_demand, so
 * nobody would take it (aws p5.48xlarge on_demand: $6.88, 2025-06-05)"; "" where it is not. The second price may be not known. Returns buf. */
bool tr_price_is_dearer(const struct tr_price *price, const struct tr_price *on_demand);
const char *tr_price_dearer_words(const struct tr_price *price, const struct tr_price *on_demand, char buf[TR_PRICE_WORDS_BYTES]);

/* --- where machines stand: section `sites` --- */

struct tr_place {
    const char *id, *name;
    const struct tr_entry *entry;
    struct tr_fact pue;             /* power of the building / power of what computes in it */
    struct tr_fact carbon_g_kwh;    /* CO2 equivalent of the grid */
    struct tr_fact load;            /* share of a node's rated power that training draws */
    struct tr_fact overhead;        /* switches, storage, heads: power of all that computes / power of the nodes */
    struct tr_fact server;          /* power of a node / power of its chips, where a system does not say the former */
    struct tr_fact storage_bytes_s; /* of a node, to where checkpoints go, where a system does not say it */
};

/* The entry as it stands. */
TR_MUST_CHECK enum tr_status tr_place_find(const struct tr_catalog *catalog, const char *name, struct tr_place *out,
                                          struct tr_err *err);
/* Fact by fact: of the site `region` ("us", "gcp-europe-north1"; NULL or "": none is named), else of the system's
 * operator, else of the site `anywhere`. */
TR_MUST_CHECK enum tr_status tr_place_for(const struct tr_catalog *catalog, const struct tr_system *system,
                                         const char *region, struct tr_place *out, struct tr_err *err);

/* Of a node, to where checkpoints go: the system's, else the place's. Not known: nobody says it. */
const struct tr_fact *tr_place_storage(const struct tr_place *place, const struct tr_system *system);
/* Rated power of a node: the system's, else its chips' times `server` of the place. place: NULL is fine. */
struct tr_fact tr_place_node_power(const struct tr_place *place, const struct tr_system *system);

/* --- failures: section `failures`, a record each --- */

struct tr_failures {
    const char *id, *name;
    const char *note; /* NULL: none */
    const struct tr_entry *entry;
    const struct tr_entry *chip;  /* NULL: of any */
    bool spot;                    /* taken away, not broken */
    struct tr_fact chip_life_s;   /* mean time between interruptions of a job of one chip; may be not known for spot */
    struct tr_fact group_life_s;  /* of spot: of a job of any size, for whole groups go at once */
    struct tr_fact recover_s;     /* from the interruption to the first step again, without what is done twice */
};

TR_MUST_CHECK enum tr_status tr_failures_find(const struct tr_catalog *catalog, const char *name,
                                              struct tr_failures *out, struct tr_err *err);
/* The record of that system, else of its chip, else the one that is called `default`; on spot also what the record
 * `default-spot`, or one of its operator, says of groups. */
TR_MUST_CHECK enum tr_status tr_failures_for(const struct tr_catalog *catalog, const struct tr_system *system,
                                             enum tr_commitment commitment, struct tr_failures *out,
                                             struct tr_err *err);

/* Mean time between interruptions of a job; INFINITY when nothing is known. */
double tr_failures_mtbf(const struct tr_failures *failures, int64_t chips);

/* --- checkpoints: seconds. Interruptions come at random (exponential), also while saving and recovering --- */

/* The computing between two saves, of which each stops the job for save_s.
 *     young  sqrt(2 save mtbf): Young, CACM 17 (1974); good while save is much shorter than mtbf
 *     daly   its correction to higher order: Daly, Future Generation Computer Systems 22 (2006), equation 37
 *     best   the minimum of Daly's complete model (the same paper, equation 20), solved to rounding */
double tr_interval_young(double save_s, double mtbf_s);
double tr_interval_daly(double save_s, double mtbf_s);
double tr_interval_best(double save_s, double mtbf_s);

/* Share of the wall-clock time that goes into steps that are kept, by the complete model: 0 to 1. */
double tr_goodput(double interval_s, double save_s, double recover_s, double mtbf_s);

/* --- a run --- */

struct tr_job {
    const struct tr_system *system;
    int64_t chips;
    double busy_s;      /* of steps, were nothing ever to fail or to be saved */
    double state_bytes; /* of a checkpoint, all ranks together; 0: saves cost nothing */
    double interval_s;  /* between saves; 0: the best */
    bool background;    /* saves stop the job only for a copy to the hosts; what is being written is lost in a failure */
    const struct tr_price *price;       /* NULL: no dollars */
    const struct tr_place *site;         /* NULL: no energy, no carbon */
    const struct tr_failures *failures; /* NULL: nothing fails */
};

struct tr_job_cost {
    double write_s;    /* of a checkpoint, to storage */
    double save_s;     /* for which a save stops the job */
    double recover_s;  /* after each failure, reading the checkpoint included */
    double mtbf_s;     /* INFINITY: nothing fails */
    double interval_s; /* INFINITY: never saved */
    double young_s, daly_s;
    double goodput;    /* 0: the job does not come forward at this size */
    double wall_s;     /* busy_s / goodput */
    double failures;   /* expected */
    double chip_hours;
    double usd;        /* NAN: the price is not known */
    double power_w;    /* of the run, building included; NAN: not known */
    double energy_j;
    double carbon_g;
};

double tr_job_nodes(const struct tr_system *system, int64_t chips); /* whole ones: one that is used in part is the job's in full */
struct tr_job_cost tr_job_cost(const struct tr_job *job);

/* The keys of the entries, for tables and docs: of an offer, of a site (offsets in struct tr_place), of failures. */
const struct tr_field *tr_offer_fields(int *count);
const struct tr_field *tr_place_fields(int *count);
const struct tr_field *tr_failures_fields(int *count);

/* Reads each offer, site and record of failures: what is wrong with any is said. */
TR_MUST_CHECK enum tr_status tr_cloud_cost_check_all(const struct tr_catalog *catalog, struct tr_err *err);

#endif
