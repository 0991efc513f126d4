#include "silicon/kernel/embed/embed.h"

const struct tr_kernel tr_embed_kernels[] = {
    {.kind = TR_OP_EMBED, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_embed_ref},
    {.kind = TR_OP_EMBED, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_embed_ref},
    {.kind = TR_OP_EMBED_BWD, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_embed_bwd_ref},
    {.kind = TR_OP_EMBED_BWD, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_embed_bwd_ref},
    {.kind = TR_OP_LAST, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_last_ref},
    {.kind = TR_OP_LAST, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_last_ref},
    {.kind = TR_OP_KV_APPEND, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_kv_append_ref},
    {.kind = TR_OP_KV_APPEND, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_kv_append_ref},
    {.kind = TR_OP_SPLIT, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_split_ref},
    {.kind = TR_OP_SPLIT, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_split_ref},
    {.kind = TR_OP_SPLIT, .isa = TR_ISA_REF, .act = TR_I32, .run = tr_split_ref},
    {.kind = TR_OP_TAKE, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_take_ref},
    {.kind = TR_OP_TAKE, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_take_ref},
#if defined(__x86_64__)
    {.kind = TR_OP_EMBED, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_embed_avx2},
    {.kind = TR_OP_EMBED_BWD, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_embed_bwd_avx2},
    {.kind = TR_OP_EMBED, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_embed_avx2},
    {.kind = TR_OP_EMBED_BWD, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_embed_bwd_avx2},
    {.kind = TR_OP_EMBED, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_embed_avx512},
    {.kind = TR_OP_EMBED_BWD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_embed_bwd_avx512},
    {.kind = TR_OP_EMBED, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_embed_avx512},
    {.kind = TR_OP_EMBED_BWD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_embed_bwd_avx512},
#endif
    {.run = NULL},
};
