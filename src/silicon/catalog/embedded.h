/* The files of catalog/, as the build puts them into the program (scripts/embed.cmake writes the .c). */
#ifndef TR_SILICON_CATALOG_EMBEDDED_H
#define TR_SILICON_CATALOG_EMBEDDED_H

#include <stddef.h>

struct tr_embedded {
    const char *path; /* "catalog/chips/nvidia.yaml" */
    const unsigned char *data;
    size_t bytes;
};

extern const struct tr_embedded tr_embedded_files[]; /* by path; path NULL after the last */

#endif
