/* What chips are joined by, within a node and beyond. */
#ifndef TR_SILICON_CHIP_LINK_H
#define TR_SILICON_CHIP_LINK_H

enum tr_link_kind {
    TR_LINK_NONE,
    TR_LINK_NVLINK,
    TR_LINK_INFINITY_FABRIC,
    TR_LINK_ICI,        /* TPU */
    TR_LINK_NEURONLINK, /* Trainium */
    TR_LINK_HCCS,       /* Ascend */
    TR_LINK_PCIE,
    TR_LINK_INFINIBAND,
    TR_LINK_ROCE,
    TR_LINK_ETHERNET, /* TCP, and its offloads (TCPX) */
    TR_LINK_EFA,
    TR_LINK_OMNI_PATH,
    TR_LINK_SLINGSHOT,
    TR_LINK_KINDS
};

/* How the members of a domain reach each other. */
enum tr_topology {
    TR_TOPOLOGY_SWITCHED, /* any pair at full rate: NVSwitch, one switch, a fat tree without oversubscription */
    TR_TOPOLOGY_MESH,     /* each pair has its own link: rate / (domain - 1) a pair */
    TR_TOPOLOGY_CUBE,     /* hybrid cube mesh (DGX-1) */
    TR_TOPOLOGY_RING,
    TR_TOPOLOGY_TORUS,    /* of 2 or 3 dimensions: rate / (2 dimensions) to a neighbour */
    TR_TOPOLOGY_RAIL,     /* the i-th NICs of all nodes meet at one switch */
    TR_TOPOLOGY_FAT_TREE,
    TR_TOPOLOGIES
};

extern const char *const tr_link_names[];     /* by kind, as written in files; NULL after the last */
extern const char *const tr_topology_names[]; /* the same */

#endif
