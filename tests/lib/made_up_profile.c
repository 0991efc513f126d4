#include "lib/made_up_profile.h"

#include "base/text.h"
#include "lib/scratch.h"
#include "silicon/cost/exchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct tr_catalog *read_again(void)
{
    struct tr_catalog *catalog;
    struct tr_err err;
    if (tr_catalog_open_empty(&catalog, &err) != TR_OK || tr_catalog_add(catalog, tr_scratch("profile.yaml"), &err) != TR_OK)
        fail_msg("%s", err.text);
    return catalog;
}

struct tr_catalog *tr_made_up_exchange(const char *transport, double call_s)
{
    char id[64];
    struct tr_text text = {0};
    struct tr_exchange_rates exchange = {.id = id, .chip = "made-up", .ranks = 2, .shared = 1};
    snprintf(id, sizeof id, "made-up-%s-2", transport);
    snprintf(exchange.transport, sizeof exchange.transport, "%s", transport);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int i = 0; i < TR_EXCHANGE_SIZES && tr_exchange_measures((enum tr_coll_kind)kind); i++)
            exchange.time_s[kind][i] = call_s;
    struct tr_bytes file = tr_scratch_read(tr_scratch("profile.yaml"));
    tr_text_append_bytes(&text, file.at, file.len);
    if (!strstr(tr_text_str(&text), "\nexchanges:"))
        tr_text_append(&text, "exchanges:\n");
    tr_exchange_yaml(&exchange, &text);
    tr_scratch_put_text("profile.yaml", tr_text_str(&text));
    tr_bytes_free(&file);
    tr_text_free(&text);
    return read_again();
}

static struct tr_catalog *make_up(double peak_flop_s, double memory_byte_s, bool apart)
{
    struct tr_text text = {0};
    struct tr_kernel_rates rates = {.id = "made-up-1", .chip = "made-up", .processor = "p", .isa = "ref", .program = "0",
                                    .cores = 1, .threads = 1, .step_error = .1, .between_s = 1e-7,
                                    .machine = {.peak_flop_s = {peak_flop_s, peak_flop_s},
                                                .read_byte_s = {1e11, 1e11, 1e11, memory_byte_s}, .hand_s = 40e-9, .hand_apart_s = apart ? 160e-9 : 0}};
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        const struct tr_kernel_term *terms;
        int count = tr_kernel_terms((enum tr_op_kind)kind, &terms);
        for (int type = 0; type < TR_KERNEL_TYPES && count; type++) {
            struct tr_kernel_price *price = &rates.price[kind][type];
            *price = (struct tr_kernel_price){.error = .2, .known = true};
            for (int i = 0; i < count; i++)
                price->unit_s[i] = 1e-9;
            for (int i = 0; i < count && apart; i++) {
                rates.apart[kind][type].error = price->error, rates.apart[kind][type].known = true;
                rates.apart[kind][type].unit_s[i] = TR_MADE_UP_APART * price->unit_s[i];
            }
        }
    }
    tr_text_printf(&text, "sources:\n  calibration: {title: made up, date: 2026-01-01, grade: measured}\nchips:\n  made-up:\n"
                   "    {name: Made up, vendor: nobody, year: 2026, source: calibration, cores: 1, memory: 1GiB,\n"
                   "     memory_bandwidth: 1e10B/s, dense: {fp32: 1e9FLOP/s}}\n"
                   "kernels:\n");
    tr_kernel_rates_yaml(&rates, &text);
    tr_scratch_put_text("profile.yaml", tr_text_str(&text));
    tr_text_free(&text);
    return read_again();
}

struct tr_catalog *tr_made_up_profile(double peak_flop_s, double memory_byte_s) { return make_up(peak_flop_s, memory_byte_s, true); }
struct tr_catalog *tr_made_up_profile_near(double peak_flop_s, double memory_byte_s) { return make_up(peak_flop_s, memory_byte_s, false); }
