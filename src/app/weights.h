/* How generate and eval keep a model's weights: their options --dtype and --weights. */
#ifndef TR_APP_WEIGHTS_H
#define TR_APP_WEIGHTS_H

#include "lab/model/program.h"

/* The values of --weights: auto, f32, bf16, int8, int4. */
extern const char *const tr_app_weights[];

/* Sets *dtype (on entry that of the model's run) and *form from the indices of the two options. *form is TR_FORM_ROWS
 * unless int8 or int4 is asked for; these go with activations in bf16 where --dtype does not say otherwise. TR_BAD_INPUT:
 * the options contradict. */
TR_MUST_CHECK enum tr_status tr_app_choose_weights(int dtype_index, int weights_index, enum tr_dtype *dtype,
                                                   enum tr_weight_form *form, struct tr_err *err);

/* "f32", "bf16", "int8", "int4" */
const char *tr_app_weights_name(enum tr_dtype dtype, enum tr_weight_form form);

#endif
