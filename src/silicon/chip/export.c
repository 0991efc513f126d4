/* The rules as published in the Federal Register, as arithmetic on a data sheet. Not legal advice. */
#include "silicon/chip/derive.h"

#include <math.h>
#include <stdio.h>

static const struct tr_export_rule_info rules[TR_EXPORT_RULES] = {
    [TR_EXPORT_2022] = {"2022-10-07", "2023-11-17", "87 FR 62186",
                        "3A090: TPP >= 4,800 and >= 600 GB/s of links in both directions; China and Macau"},
    [TR_EXPORT_2023] = {"2023-11-17", NULL, "88 FR 73458, corrected by 89 FR 23876",
                        "3A090.a: TPP >= 4,800, or >= 1,600 and density >= 5.92; 3A090.b below that, from 2,400 and 1.6, or "
                        "1,600 and 3.2; country groups D:1, D:4, D:5"},
    [TR_EXPORT_HBM] = {"2024-12-02", NULL, "89 FR 96790",
                       "3A090.c: stacks of HBM beyond 2 GB/s/mm2, when they are not packaged with logic"},
    [TR_EXPORT_DIFFUSION] = {"2025-01-15", "2025-05-13", "90 FR 4544", "3A090.a: a licence for the whole world, with caps"},
    [TR_EXPORT_H20] = {"2025-04-09", NULL, "letter to NVIDIA, 8-K of 2025-04-15",
                       "a licence for H20 and chips that reach its memory or interconnect bandwidth"},
    [TR_EXPORT_TARIFF] = {"2026-01-14", NULL, "presidential proclamation, annex",
                          "25 % on two bands of TPP and memory bandwidth (those of H200 and MI325X)"},
    [TR_EXPORT_2026] = {"2026-01-15", NULL, "91 FR 1684",
                        "review of licences of 3A090.a for China and Macau: case by case when TPP < 21,000 and memory < "
                        "6,500 GB/s, else presumed denied"},
};

const struct tr_export_rule_info *tr_export_rule_info(enum tr_export_rule rule)
{
    TR_ASSERT(rule >= 0 && rule < TR_EXPORT_RULES);
    return &rules[rule];
}

static double tpp_of(const struct tr_chip *chip, enum tr_rate rate)
{
    return tr_fact_or(&chip->rate_flop_s[rate], 0) / 1e12 * tr_rate_bits(rate);
}

void tr_export_derive(const struct tr_chip *chip, struct tr_export *out)
{
    static const enum tr_rate counted[] = {TR_RATE_BF16, TR_RATE_FP16, TR_RATE_FP8, TR_RATE_INT8, TR_RATE_FP4};
    struct tr_export e = {.tpp_rate = counted[0], .tpp_fp6 = tpp_of(chip, TR_RATE_FP6), .density = NAN,
                          .memory_bytes_s = chip->memory_bytes_s.value, .announced = chip->announced,
                          .datacenter = chip->market == TR_MARKET_DATACENTER};
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
        double tpp = tpp_of(chip, counted[i]);
        if (tpp > e.tpp) {
            e.tpp = tpp;
            e.tpp_rate = counted[i];
        }
    }
    if (tr_known(&chip->die_mm2))
        e.density = e.tpp / chip->die_mm2.value;
    e.io_bytes_s = 2 * (tr_fact_or(&chip->scaleup_bytes_s, 0) + tr_fact_or(&chip->host_bytes_s, 0));
    *out = e;
}

/* --- the rules, one by one --- */

enum class_2023 { NOT_3A090, CLASS_A, CLASS_B, NOTE_2, UNDETERMINED };

static enum class_2023 class_2023(const struct tr_export *e)
{
    double tpp = e->tpp, density = e->density;
    if (!e->datacenter && tpp < 4800)
        return NOTE_2;
    if (tpp >= 4800)
        return CLASS_A;
    if (tpp < 1600)
        return NOT_3A090;
    if (isnan(density))
        return UNDETERMINED;
    if (density >= 5.92)
        return CLASS_A;
    if ((tpp >= 2400 && density >= 1.6) || density >= 3.2)
        return CLASS_B;
    return NOT_3A090;
}

static void rule_2022(const struct tr_export *e, struct tr_export_verdict *v)
{
    double io = e->io_bytes_s / 1e9;
    v->class = e->tpp < 4800 ? "free" : io <= 0 ? "undetermined" : io >= 600 ? "controlled" : "free";
    if (io <= 0)
        snprintf(v->why, sizeof v->why, "TPP %.0f; the bandwidth of its links is not known", e->tpp);
    else
        snprintf(v->why, sizeof v->why, "TPP %.0f %s 4800; links %.0f GB/s %s 600", e->tpp, e->tpp < 4800 ? "<" : ">=",
                 io, io < 600 ? "<" : ">=");
}

static void rule_2023(const struct tr_export *e, struct tr_export_verdict *v)
{
    static const char *const names[] = {"not 3A090", "3A090.a", "3A090.b", "not 3A090", "undetermined"};
    enum class_2023 class = class_2023(e);
    v->class = names[class];
    int len = isnan(e->density)
                  ? snprintf(v->why, sizeof v->why, "TPP %.0f, area of the dies not known", e->tpp)
                  : snprintf(v->why, sizeof v->why, "TPP %.0f, density %.2f", e->tpp, e->density);
    const char *more = "";
    if (class == NOTE_2)
        more = "; not marketed for data centres and TPP < 4800 (Note 2)";
    else if (class == CLASS_A && !e->datacenter)
        more = "; not marketed for data centres: licence exception NAC/ACA possible";
    else if (class == CLASS_B)
        more = "; licence exception NAC/ACA possible";
    snprintf(v->why + len, sizeof v->why - (size_t)len, "%s", more);
}

static void rule_hbm(struct tr_export_verdict *v)
{
    v->class = "not affected";
    snprintf(v->why, sizeof v->why, "its memory is packaged with its logic");
}

static void rule_diffusion(const struct tr_export *e, struct tr_export_verdict *v)
{
    enum class_2023 class = class_2023(e);
    v->class = class == CLASS_A ? "controlled" : class == UNDETERMINED ? "undetermined" : "not affected";
    snprintf(v->why, sizeof v->why, "%s 3A090.a; rescission announced, not enforced from 2025-05-13",
             class == CLASS_A ? "it is" : class == UNDETERMINED ? "not known whether it is" : "it is not");
}

static void rule_h20(const struct tr_export *e, struct tr_export_verdict *v)
{
    const double memory = 4000, links = 1028; /* H20's own, counted as every chip's; the letter's lines were not published */
    bool reaches = e->memory_bytes_s / 1e9 >= memory || e->io_bytes_s / 1e9 >= links;
    bool below = class_2023(e) == NOT_3A090 && e->datacenter;
    v->class = below && reaches ? "licence" : "not affected";
    if (below)
        snprintf(v->why, sizeof v->why, "memory %.0f GB/s and links %.0f GB/s, H20: %.0f and %.0f", e->memory_bytes_s / 1e9,
                 e->io_bytes_s / 1e9, memory, links);
    else
        snprintf(v->why, sizeof v->why, "the letter is about data centre chips below 3A090");
}

static void rule_tariff(const struct tr_export *e, struct tr_export_verdict *v)
{
    double memory = e->memory_bytes_s / 1e9;
    bool one = e->tpp >= 14000 && e->tpp <= 17500 && memory >= 4500 && memory <= 5000;
    bool two = e->tpp >= 20800 && e->tpp <= 21100 && memory >= 5800 && memory <= 6200;
    v->class = one ? "tariff band 1" : two ? "tariff band 2" : "not affected";
    snprintf(v->why, sizeof v->why, "TPP %.0f, memory %.0f GB/s", e->tpp, memory);
}

static void rule_2026(const struct tr_export *e, struct tr_export_verdict *v)
{
    double memory = e->memory_bytes_s / 1e9;
    enum class_2023 class = class_2023(e);
    bool low = e->tpp < 21000 && memory < 6500;
    if (class != CLASS_A) {
        v->class = class == UNDETERMINED ? "undetermined" : "not affected";
        snprintf(v->why, sizeof v->why, "about 3A090.a only");
        return;
    }
    v->class = low ? "case by case" : "presumed denied";
    snprintf(v->why, sizeof v->why, "TPP %.0f %s 21000, memory %.0f GB/s %s 6500", e->tpp, e->tpp < 21000 ? "<" : ">=",
             memory, memory < 6500 ? "<" : ">=");
}

void tr_export_verdict(const struct tr_export *export, enum tr_export_rule rule, struct tr_export_verdict *out)
{
    switch (rule) {
    case TR_EXPORT_2022: rule_2022(export, out); break;
    case TR_EXPORT_2023: rule_2023(export, out); break;
    case TR_EXPORT_HBM: rule_hbm(out); break;
    case TR_EXPORT_DIFFUSION: rule_diffusion(export, out); break;
    case TR_EXPORT_H20: rule_h20(export, out); break;
    case TR_EXPORT_TARIFF: rule_tariff(export, out); break;
    case TR_EXPORT_2026: rule_2026(export, out); break;
    case TR_EXPORT_RULES: TR_ASSERT(rule != TR_EXPORT_RULES);
    }
}
