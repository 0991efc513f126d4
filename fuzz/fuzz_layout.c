/* Any text as a layout: refused with a sentence, or what is printed of it reads back and prints the same; and fitting it
 * to chips and checking it against a model ends in a sentence or in a layout that holds. */
#include "plan/layout/layout.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(struct tr_layout *layout)
{
    const struct tr_model_shape model = {.name = "m", .layers = 24, .width = 2048, .heads = 16, .kv_heads = 16,
                                         .head_dim = 128, .value_dim = 128, .ffn = 8192, .vocab = 51200,
                                         .experts = 64, .top_k = 4, .expert_ffn = 1408, .moe_every = 1};
    const struct tr_batch batch = {2048, 1536};
    char text[TR_LAYOUT_TEXT_BYTES], again[TR_LAYOUT_TEXT_BYTES];
    struct tr_layout read;
    struct tr_err err = {""};
    TR_ASSERT(tr_layout_parse(tr_layout_print(layout, text), &read, &err) == TR_OK);
    TR_ASSERT(strcmp(tr_layout_print(&read, again), text) == 0);
    enum tr_status status = tr_layout_fit_chips(layout, 1024, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    if (status != TR_OK || tr_layout_check(layout, &model, &batch, &err) != TR_OK)
        return;
    TR_ASSERT(tr_layout_chips(layout) == 1024);
    int64_t layers = 0;
    for (int32_t stage = 0; stage < layout->pp; stage++)
        layers += tr_layout_stage_layers(layout, model.layers, stage);
    TR_ASSERT(layers == model.layers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_layout layout, open_layout;
    struct tr_err err = {""};
    uint32_t said;
    bool open;
    if (bytes > 4096)
        return 0;
    char *text = malloc(bytes + 1);
    TR_ASSERT(text);
    if (bytes)
        memcpy(text, data, bytes);
    text[bytes] = 0;
    enum tr_status status = tr_layout_parse(text, &layout, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    enum tr_status open_status = tr_layout_parse_open(text, &open_layout, &said, &open, &err);
    TR_ASSERT(status == TR_OK ? open_status == TR_OK : open_status == TR_BAD_INPUT || open);
    if (status == TR_OK)
        check(&layout);
    free(text);
    return 0;
}
