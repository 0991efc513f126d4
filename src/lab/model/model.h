/* lab/model: from a config to the work of one step. The parts, in the order in which they follow from each other:
 *
 *     config.h    what a model is; presets, --depth, Hugging Face's config.json
 *     weights.h   its tensors: names, shapes, canonical order, initial values; FLOPs per token
 *     rope.h      the table of rotary positions
 *     program.h   the step program: operations, buffers, memory, schedule
 *     exec.h      runs a program on one rank
 *
 * Include the part that you need; this header is for those who need all. README.md says why it is so. */
#ifndef TR_LAB_MODEL_MODEL_H
#define TR_LAB_MODEL_MODEL_H

#include "lab/model/config.h"
#include "lab/model/exec.h"
#include "lab/model/program.h"
#include "lab/model/rope.h"
#include "lab/model/weights.h"

#endif
