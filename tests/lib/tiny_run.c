#include "lib/tiny_run.h"

#include "base/os.h"
#include "base/text.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const char *tr_tiny_text(void)
{
    static const char *const words[] = {"the", "sea", "and", "a", "light", "of", "stone", "went", "over", "night"};
    char text[6000];
    size_t at = 0;
    uint32_t random = 12345;
    for (int i = 0; at < sizeof text - 16; i++) {
        random = random * 1664525u + 1013904223u;
        at +=
            (size_t)snprintf(text + at, sizeof text - at, "%s%c", words[(random >> 16) % 10], i % 9 == 8 ? '\n' : ' ');
    }
    tr_scratch_put_text("text.txt", text);
    return tr_scratch("text.txt");
}

struct tr_run_config tr_tiny_config(const char *out, ...)
{
    static struct tr_run_config config;
    struct tr_err err = {{0}};
    char text[TR_TINY_OVERRIDES_MAX][256];
    struct tr_override overrides[TR_TINY_OVERRIDES_MAX] = {
        {"data.path", tr_tiny_text()}, {"run.out", tr_scratch(out)}, {"model.depth", "1"},   {"data.seq_len", "16"},
        {"train.batch", "8"},          {"train.micro_batch", "4"},   {"train.steps", "12"},  {"run.threads", "1"},
        {"schedule.warmup", "2"},      {"eval.every", "0"},          {"sample.tokens", "0"}, {"checkpoint.every", "0"},
        {"optimizer.lr", "0.003"},
    };
    int count = 13;
    va_list changes;
    va_start(changes, out);
    for (const char *change; (change = va_arg(changes, const char *)) != NULL; count++) {
        assert_true(count < TR_TINY_OVERRIDES_MAX);
        snprintf(text[count], sizeof text[count], "%s", change);
        char *value = strchr(text[count], '=');
        assert_non_null(value);
        *value = 0;
        overrides[count] = (struct tr_override){text[count], value + 1};
    }
    va_end(changes);
    if (tr_run_config_read(&config, NULL, overrides, count, &err) != TR_OK)
        fail_msg("%s", err.text);
    return config;
}

struct tr_train_options tr_tiny_options(void) { return (struct tr_train_options){.peak_flop_s = 1e9}; }

struct tr_tiny_hash tr_tiny_train(const struct tr_run_config *config)
{
    struct tr_train_result *result = calloc(1, sizeof *result);
    struct tr_train_options options = tr_tiny_options();
    struct tr_tiny_hash hash;
    struct tr_err err = {{0}};
    assert_non_null(result);
    if (tr_train(config, &options, result, &err) != TR_OK)
        fail_msg("%s", err.text);
    memcpy(hash.hex, result->hash, sizeof hash.hex);
    tr_text_free(&result->last_sample);
    free(result);
    return hash;
}

void tr_tiny_crowd(const char *profile, double time_s)
{
    static const char key[] = "\"crowded_s\": ";
    struct tr_bytes file = tr_scratch_read(tr_scratch(profile));
    struct tr_text text = {0};
    const char *at = file.at;
    for (const char *hit; (hit = strstr(at, key)) != NULL; at = hit + strcspn(hit, ",\n"))
        tr_text_printf(&text, "%.*s%s%.9g", (int)(hit - at), at, key, time_s);
    tr_text_append(&text, at);
    tr_scratch_put_text(profile, tr_text_str(&text));
    tr_text_free(&text);
    tr_bytes_free(&file);
}
