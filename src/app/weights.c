#include "app/weights.h"

enum { AUTO, F32, BF16, INT8, INT4 };

const char *const tr_app_weights[] = {"auto", "f32", "bf16", "int8", "int4", NULL};

enum tr_status tr_app_choose_weights(int dtype_index, int weights_index, enum tr_dtype *dtype,
                                     enum tr_weight_form *form, struct tr_err *err)
{
    const bool given = dtype_index > 0;
    const enum tr_dtype asked = given ? (enum tr_dtype)(dtype_index - 1) : *dtype;
    *form = weights_index == INT8 ? TR_FORM_INT8 : weights_index == INT4 ? TR_FORM_INT4 : TR_FORM_ROWS;
    *dtype = asked;
    if (weights_index == AUTO)
        return TR_OK;
    if (weights_index >= INT8) {
        *dtype = given ? asked : TR_BF16;
        return TR_OK;
    }
    *dtype = weights_index == F32 ? TR_F32 : TR_BF16;
    if (given && asked != *dtype)
        return tr_fail(err, TR_BAD_INPUT, "--weights %s goes with --dtype %s, and --dtype %s is given", tr_app_weights[weights_index],
                       tr_dtype_name(*dtype), tr_dtype_name(asked));
    return TR_OK;
}

const char *tr_app_weights_name(enum tr_dtype dtype, enum tr_weight_form form)
{
    return form == TR_FORM_INT8 || form == TR_FORM_INT4 ? tr_form_name(form) : tr_dtype_name(dtype);
}
