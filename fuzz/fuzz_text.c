/* Any bytes as text to train on, with each way of splitting it: encoding in one piece and in parts gives the same tokens,
 * and decoding gives the bytes back. The vocabulary is learned from a fixed text and from the input itself. */
#include "lab/token/learn.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char known[] = "the sea and the light of the stone, it's 12345 over 67890 nights\n\n  the SEA's light\t\r\n";

enum { SPLITS = TR_SPLIT_DIGIT_RUNS + 1, PART_BYTES = 16, TEXT_MAX_BYTES = 4096 };

/* NULL: refused with a sentence. */
static struct tr_token *learn(enum tr_split split, const char *text, size_t bytes)
{
    static const char *const special[] = {"<|endoftext|>"};
    struct tr_token_spec form = {.source = "learned", .splits = {split}, .split_count = 1};
    struct tr_learn_config config = {.vocab = 300, .form = &form, .special = special, .special_count = 1};
    struct tr_learner *learner;
    struct tr_token *token = NULL;
    struct tr_err err = {""};
    TR_ASSERT(tr_learner_make(&config, &learner, &err) == TR_OK);
    TR_ASSERT(tr_learner_add(learner, text, bytes, &err) == TR_OK);
    enum tr_status status = tr_learner_finish(learner, NULL, &token, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    tr_learner_free(learner);
    return status == TR_OK ? token : NULL;
}

static void in_parts(const struct tr_token *token, struct tr_encoder *encoder, const char *text, size_t bytes,
                     const struct tr_ids *whole)
{
    struct tr_ids parts = {0};
    struct tr_err err = {""};
    while (bytes > 0) {
        size_t part = tr_token_part(token, text, bytes, PART_BYTES);
        TR_ASSERT(part > 0 && part <= bytes);
        TR_ASSERT(tr_encode(encoder, text, part, 0, &parts, &err) == TR_OK);
        text += part;
        bytes -= part;
    }
    TR_ASSERT(parts.count == whole->count);
    TR_ASSERT(parts.count == 0 || memcmp(parts.at, whole->at, (size_t)parts.count * sizeof *parts.at) == 0);
    tr_ids_free(&parts);
}

static struct tr_encoder *encoder_of(const struct tr_token *token)
{
    struct tr_encoder *encoder;
    struct tr_err err = {""};
    TR_ASSERT(tr_encoder_make(token, &encoder, &err) == TR_OK);
    return encoder;
}

static void check(const struct tr_token *token, struct tr_encoder *encoder, enum tr_split split, const char *text,
                  size_t bytes)
{
    struct tr_err err = {""};
    struct tr_ids ids = {0};
    struct tr_text back = {0};
    TR_ASSERT(tr_encode(encoder, text, bytes, 0, &ids, &err) == TR_OK);
    TR_ASSERT(tr_decode(token, ids.at, ids.count, 0, &back, &err) == TR_OK);
    if (split != TR_SPLIT_PREFIX_SPACE) { /* which adds a space of its own to each part */
        TR_ASSERT(back.len == bytes && (bytes == 0 || memcmp(back.at, text, bytes) == 0));
        in_parts(token, encoder, text, bytes, &ids);
    }
    tr_text_free(&back);
    tr_ids_free(&ids);
}

/* Encoders of the fixed vocabularies are kept: making their caches (2 MiB each) took most of the time. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct tr_token *token[SPLITS];
    static struct tr_encoder *encoder[SPLITS];
    const char *text = (const char *)data;
    if (bytes > TEXT_MAX_BYTES)
        return 0;
    for (int split = 0; split < SPLITS; split++) {
        if (!token[split]) {
            token[split] = learn((enum tr_split)split, known, sizeof known - 1);
            encoder[split] = encoder_of(token[split]);
        }
        check(token[split], encoder[split], (enum tr_split)split, text, bytes);
    }
    struct tr_token *own = learn(TR_SPLIT_GPT2, text, bytes);
    TR_ASSERT(own || bytes == 0);
    if (own) {
        struct tr_encoder *fresh = encoder_of(own);
        check(own, fresh, TR_SPLIT_GPT2, text, bytes);
        tr_encoder_free(fresh);
    }
    tr_token_free(own);
    return 0;
}
