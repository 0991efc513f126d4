/* Systems that chips stand in: nodes, the tiers of links around them, and networks.
 *
 *     struct tr_system system;
 *     tr_system_find(catalog, "dgx-h100", &system, err)
 *     system.tier[0]       NVLink: 450 GB/s per direction and chip among 8 chips
 *     system.tier[1]       InfiniBand NDR: 50 GB/s per direction and chip, any number of chips
 *
 * Tiers go from the chip outwards, by growing domain; chips whose common domain is the smallest talk over that tier. A
 * tier that holds a whole node and more (NVL72, a TPU pod) is one tier like any other. Chips that only a network joins are
 * domains of one: the first tier is theirs, and nothing moves over it.
 *
 * A struct tr_system is plain numbers: copy it and change what another machine has different. All rates are of one
 * direction and per chip, in bytes/s, before oversubscription. */
#ifndef TR_CLOUD_CLUSTER_CLUSTER_H
#define TR_CLOUD_CLUSTER_CLUSTER_H

#include "silicon/chip/chip.h"

enum { TR_TIERS_MAX = 7, TR_TORUS_DIMENSIONS_MAX = 4 };

struct tr_tier {
    const char *name;       /* the key in the file: "nvlink", "network" */
    const char *network;    /* id of the network that it is made of; "" for links of the chip itself */
    int kind;               /* enum tr_link_kind */
    int topology;           /* enum tr_topology */
    int64_t domain_chips;   /* that it joins; 0: as many as there are */
    struct tr_fact bytes_s; /* known: per direction and chip. With NICs: all of the node's / chips of the node */
    struct tr_fact latency_s;        /* of one message between neighbours of the tier; may be not known */
    struct tr_fact oversubscription; /* known, >= 1: how many times less leaves the level below than enters it */
    struct tr_fact nics;             /* of a node that belong to the tier; not known for links of the chip */
    struct tr_fact nic_bytes_s;      /* of one NIC */
    bool in_network;                 /* its switches can reduce (NVLink SHARP, InfiniBand SHARP) */
    int dimensions;                  /* of a torus; else 0 */
    int64_t torus[TR_TORUS_DIMENSIONS_MAX]; /* chips along each; 0: as many as the job has */
};

struct tr_system {
    const char *id, *name;
    const char *operator_id; /* whose site it stands in (section sites); "" when anybody's */
    const char *note;        /* NULL: none */
    const struct tr_entry *entry;
    struct tr_chip chip;
    int64_t chips_per_node; /* behind one host */
    int tier_count;         /* at least 1 */
    struct tr_tier tier[TR_TIERS_MAX];
    struct tr_fact power_w;          /* of a node under load, all of it; may be not known */
    struct tr_fact host_memory_bytes; /* of a node */
    struct tr_fact storage_bytes_s;  /* of a node, to where checkpoints go */
};

TR_MUST_CHECK enum tr_status tr_system_find(const struct tr_catalog *catalog, const char *name, struct tr_system *out,
                                            struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_system_read(const struct tr_entry *entry, struct tr_system *out, struct tr_err *err);
/* The system of the catalog that carries the chip, chips_per_node (0: any number) to a host, the first that is said; when
 * there is none: the chip's own links among those of a node (8 unless said) and a network usual in its year, assumed. */
TR_MUST_CHECK enum tr_status tr_system_around(const struct tr_catalog *catalog, const struct tr_chip *chip,
                                              int64_t chips_per_node, struct tr_system *out, struct tr_err *err);
/* Reads each network and each system. */
TR_MUST_CHECK enum tr_status tr_system_check_all(const struct tr_catalog *catalog, struct tr_err *err);

/* A network generation: what one port carries. */
struct tr_network {
    const char *id, *name;
    const struct tr_entry *entry;
    int kind;
    struct tr_fact port_bytes_s; /* known; per direction */
    struct tr_fact latency_s;
    bool in_network;
};
TR_MUST_CHECK enum tr_status tr_network_find(const struct tr_catalog *catalog, const char *name,
                                             struct tr_network *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_network_read(const struct tr_entry *entry, struct tr_network *out, struct tr_err *err);

/* The keys of the entries, for tables and docs: of a system and of one of its tiers (offsets in struct tr_system and
 * tr_tier), and of a network. */
const struct tr_field *tr_system_fields(int *count);
const struct tr_field *tr_tier_fields(int *count);
const struct tr_field *tr_network_fields(int *count);

/* Whether chips have links to one another. */
static inline bool tr_system_has_links(const struct tr_system *system) { return system->tier[0].domain_chips != 1; }

/* The tier over which `chips` neighbouring chips talk: the first whose domain holds them. */
int tr_system_tier_of(const struct tr_system *system, int64_t chips);

/* The most chips that the system's widest tier joins; 0: no limit. */
int64_t tr_system_max_chips(const struct tr_system *system);

#endif
