#include "lib/made_up_profile.h"

#include "base/text.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct tr_catalog *tr_made_up_profile(double peak_flop_s, double memory_byte_s)
{
    struct tr_text text = {0};
    struct tr_catalog *catalog;
    struct tr_err err;
    struct tr_kernel_rates rates = {.id = "made-up-1", .chip = "made-up", .processor = "p", .isa = "ref", .program = "0",
                                    .cores = 1, .threads = 1, .step_error = .1, .between_s = 1e-7,
                                    .machine = {.peak_flop_s = {peak_flop_s, peak_flop_s},
                                                .read_byte_s = {1e11, 1e11, 1e11, memory_byte_s}, .hand_s = 40e-9, .hand_apart_s = 160e-9}};
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        const struct tr_kernel_term *terms;
        int count = tr_kernel_terms((enum tr_op_kind)kind, &terms);
        for (int type = 0; type < TR_KERNEL_TYPES && count; type++) {
            struct tr_kernel_price *price = &rates.price[kind][type];
            *price = (struct tr_kernel_price){.error = .2, .known = true};
            for (int i = 0; i < count; i++)
                price->unit_s[i] = 1e-9;
            rates.apart[kind][type] = *price;
            for (int i = 0; i < count; i++)
                rates.apart[kind][type].unit_s[i] *= TR_MADE_UP_APART;
        }
    }
    tr_text_printf(&text, "sources:\n  calibration: {title: made up, date: 2026-01-01, grade: measured}\nchips:\n  made-up:\n"
                   "    {name: Made up, vendor: nobody, year: 2026, source: calibration, cores: 1, memory: 1GiB,\n"
                   "     memory_bandwidth: 1e10B/s, dense: {fp32: 1e9FLOP/s}}\n"
                   "kernels:\n");
    tr_kernel_rates_yaml(&rates, &text);
    tr_scratch_put_text("profile.yaml", tr_text_str(&text));
    tr_text_free(&text);
    if (tr_catalog_open_empty(&catalog, &err) != TR_OK || tr_catalog_add(catalog, tr_scratch("profile.yaml"), &err) != TR_OK)
        fail_msg("%s", err.text);
    return catalog;
}
