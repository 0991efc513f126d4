/* The vector kernels of attention, for the instruction set of the file that includes this.
 * Accuracy: the bits of attn_ref.c, see attn.h. */
#include "silicon/kernel/attn/attn_bwd_body.h"
#include "silicon/kernel/attn/attn_fwd_body.h"
