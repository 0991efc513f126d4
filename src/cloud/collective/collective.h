/* What a collective takes on a system: within a domain of fast links, and across nodes with their network cards.
 *
 *     struct tr_group group = {.ranks = 64, .local = 1, .sharing = 8};      a rank in each of 64 nodes, 8 such groups a node
 *     struct tr_cost cost = tr_collective_price(&system, &rates, TR_COLLECTIVE_ALL_REDUCE, &group, gradient_bytes);
 *
 * Within the first tier's domain: the lines of silicon/cost. Across: the slower of the part inside of nodes and the part
 * between them, which run as a pipeline, and the latency of the steps between nodes. Between nodes
 *
 *     ring          2 (n - 1) / n S through the cards of each node; N - 1 steps, twice
 *     tree          2 S through them; 2 log2 N steps   (the library takes the faster)
 *                   S with 2 nodes, 3/2 S with 3: where switches inside of nodes reduce, and over Amazon's EFA
 *     all-gather, reduce-scatter      (n - 1) / n S; N - 1 steps
 *     all-to-all    what goes to other nodes, of all ranks of the node
 *
 * over the bandwidth of the cards of a domain of the first tier (a node, a rack) / oversubscription / sharing, of the
 * narrowest tier that joins all ranks of a group, wherever it stands. Where a domain of the tier below holds several nodes of
 * the group, rings leave it once for all of them: of the oversubscription what is left after that. A torus is
 * a domain whose rings run along as many dimensions as the group reaches. Sources: the algorithms of NCCL as in SimAI's closed
 * form (X. Wang et al., "SimAI", NSDI 2025); sharing as in SimuMax.
 *
 * How wrong: within a domain as silicon/cost/README.md says. Across nodes the share of the cards' bandwidth (0.9) and the
 * time of a step (README.md) are assumed, and held against few published figures: grade `assumed`, interval 30 %. */
#ifndef TR_CLOUD_COLLECTIVE_COLLECTIVE_H
#define TR_CLOUD_COLLECTIVE_COLLECTIVE_H

#include "cloud/cluster/cluster.h"
#include "silicon/cost/cost.h"

struct tr_group {
    int64_t ranks;
    int64_t local;   /* of them in one domain of the first tier; divides ranks */
    int64_t sharing; /* groups that use the cards of a domain of the first tier at the same time, at least 1 */
    int64_t stride;  /* chips from a rank to the next, which says how far the group reaches; 0: over the widest tier */
    int64_t job;     /* chips of the whole job, which begins where domains begin */
};

/* `bytes` as of tr_cost_collective. */
struct tr_cost tr_collective_price(const struct tr_system *system, const struct tr_rates *rates, enum tr_collective op,
                                   const struct tr_group *group, double bytes);

/* One message from a rank of the group to the next: over links when they have one domain, else over one card. */
struct tr_cost tr_send_price(const struct tr_system *system, const struct tr_rates *rates, const struct tr_group *group,
                             double bytes);

/* One step between nodes: the network's own latency (3 us where the catalog does not say it), and what a step of a
 * collective takes beyond it. */
double tr_network_latency_s(const struct tr_tier *network);
double tr_network_step_s(const struct tr_tier *network);

#endif
