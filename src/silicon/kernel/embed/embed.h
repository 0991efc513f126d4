/* Rows of tables: the token and position embeddings, the last token of a sequence, the rows of a KV cache. */
#ifndef TR_SILICON_KERNEL_EMBED_H
#define TR_SILICON_KERNEL_EMBED_H

#include "silicon/kernel/kernel.h"

void tr_embed_ref(const struct tr_call *call);
void tr_embed_bwd_ref(const struct tr_call *call);
void tr_last_ref(const struct tr_call *call);
void tr_kv_append_ref(const struct tr_call *call);

#endif
