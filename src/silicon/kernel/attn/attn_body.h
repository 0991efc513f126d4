/* The vector kernels of attention, for the instruction set of the file that includes this.
 * Accuracy: the bits of attn_ref.c, see attn.h. */
#ifndef TR_SILICON_KERNEL_ATTN_BODY_H
#define TR_SILICON_KERNEL_ATTN_BODY_H

#include "silicon/kernel/attn/attn_bwd_body.h"
#include "silicon/kernel/attn/attn_fwd_body.h"

#endif
