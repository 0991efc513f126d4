/* What a model or a run is, in a terminal or as JSON: nothing is trained, nothing is written.
 *
 * A model: its shape and features, its tensors, parameters, work per token, and the memory that using it takes. Memory
 * of training is that of the step program (lab/model/program.h), which the trainer maps to the byte.
 * A run: what it trains, how far it is, its curve, its checkpoints. */
#ifndef TR_LAB_SHOW_SHOW_H
#define TR_LAB_SHOW_SHOW_H

#include "base/err.h"
#include "base/text.h"
#include "lab/model/config.h"

struct tr_show_options {
    int64_t seq_len; /* 0: the model's positions */
    int64_t batch;   /* sequences a step */
    bool all;        /* each tensor of each layer, instead of one line for all layers */
    bool brief;      /* of a run: how far it is and when it will be done, without curves and checkpoints */
    bool json;
};

TR_MUST_CHECK enum tr_status tr_show_model(const struct tr_model_config *model, const struct tr_show_options *options,
                                           struct tr_text *out, struct tr_err *err);

TR_MUST_CHECK enum tr_status tr_show_run(const char *run_folder, const struct tr_show_options *options,
                                         struct tr_text *out, struct tr_err *err);

/* A run folder, a checkpoint, a .gguf file, a preset's name, a config.json or a folder that holds one. */
TR_MUST_CHECK enum tr_status tr_show(const char *what, const struct tr_show_options *options, struct tr_text *out,
                                     struct tr_err *err);

#endif
