/* trine calibrate: this machine becomes a chip of the catalog. */
#include "app/app.h"

#include "base/os.h"
#include "base/quantity.h"
#include "plan/calibrate/calibrate.h"

#include <stdio.h>
#include <string.h>

struct calibrate_args {
    const char *out, *check;
    double scale;
    bool force, quiet;
};

#define AT(field) .offset = offsetof(struct calibrate_args, field)

static const struct tr_option options[] = {
    {.name = "out", .letter = 'o', .kind = TR_OPTION_PATH, AT(out), .fallback = "profile.yaml", .value = "FILE",
     .help = "where the profile is written; its disk is the one that is measured"},
    {.name = "force", .letter = 'f', .kind = TR_OPTION_FLAG, AT(force), .help = "replace a profile that is there"},
    {.name = "check", .kind = TR_OPTION_PATH, AT(check), .value = "FILE",
     .help = "say whether this profile still is that of this machine (a few seconds); write nothing"},
    {.name = "scale", .kind = TR_OPTION_DOUBLE, AT(scale), .fallback = "1", .value = "X", .min = .05, .max = 100,
     .help = "time to spend, in parts of the usual; less also means fewer programs"},
    {.name = "quiet", .letter = 'q', .kind = TR_OPTION_FLAG, AT(quiet), .help = "no progress on standard error"},
};

static const struct tr_command command = {
    .name = "calibrate",
    .summary = "measure this machine, so that runs on it can be predicted",
    .description =
        "Measures, in a minute or two, peak rates, reading of memory by level, the disk, and what trine's own kernels take: small "
        "training programs of many shapes are run, and rates are fitted to the times of their operations. Writes a profile: "
        "a file of the catalog with a chip and its kernels. `trine train` finds profile.yaml in the current folder and says "
        "beforehand what a step will take.\n"
        "With --check the exit status is 0 when the profile is of this machine and it is as fast as it was, else 1.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .examples = "trine calibrate\n"
                "trine calibrate --check profile.yaml\n",
};

static void print_rates(const struct tr_kernel_rates *r, struct tr_text *out)
{
    const struct tr_kernel_machine *m = &r->machine;
    char a[TR_QUANTITY_BYTES], b[TR_QUANTITY_BYTES], c[TR_QUANTITY_BYTES], d[TR_QUANTITY_BYTES];
    tr_text_printf(out, "%d thread%s   peak %s in fp32, %s in bf16 (bursts within %.1f %%)\n", r->threads,
                   r->threads == 1 ? " " : "s", tr_print_flop_s(a, m->peak_flop_s[0]), tr_print_flop_s(b, m->peak_flop_s[1]),
                   100 * m->noise);
    tr_text_printf(out, "            reads %s, %s, %s of caches, %s of memory\n",
                   tr_print_quantity(a, TR_UNIT_BYTES_S, m->read_byte_s[TR_READ_NEAR]),
                   tr_print_quantity(b, TR_UNIT_BYTES_S, m->read_byte_s[TR_READ_MIDDLE]),
                   tr_print_quantity(c, TR_UNIT_BYTES_S, m->read_byte_s[TR_READ_FAR]),
                   tr_print_quantity(d, TR_UNIT_BYTES_S, m->read_byte_s[TR_READ_MEMORY]));
    tr_text_printf(out, "            steps of programs that a fit had not seen: four of five within %.1f %%\n",
                   100 * r->step_error);
}

static enum tr_status write_profile(const struct calibrate_args *args, const struct tr_profile *profile, struct tr_err *err)
{
    struct tr_text yaml = {0}, text = {0};
    char a[TR_QUANTITY_BYTES], b[TR_QUANTITY_BYTES];
    const struct tr_kernel_rates *r = tr_profile_rates(profile, 0);
    tr_profile_yaml(profile, &yaml);
    enum tr_status status = tr_text_failed(&yaml, err) ? TR_FAILED : tr_file_write(args->out, yaml.at, yaml.len, err);
    tr_text_free(&yaml);
    if (status != TR_OK)
        return status;
    tr_text_printf(&text, "%s: %s, %d cores, %s\n", args->out, r->processor, r->cores, r->isa);
    for (int i = 0; i < tr_profile_count(profile); i++)
        print_rates(tr_profile_rates(profile, i), &text);
    tr_text_printf(&text, "disk        %s written and synced, a small file in %s\n",
                   tr_print_quantity(a, TR_UNIT_BYTES_S, r->machine.disk_byte_s), tr_print_time(b, r->machine.disk_sync_s));
    return tr_app_print(&text, err);
}

/* The folder of a file's path: "." when it has none. */
static void folder_of(const char *path, char folder[TR_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        strcpy(folder, ".");
    else
        snprintf(folder, TR_PATH_BYTES, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static enum tr_status calibrate(const struct calibrate_args *args, struct tr_err *err)
{
    char folder[TR_PATH_BYTES];
    struct tr_calibrate_options how = {.program = TRINE_VERSION, .disk_folder = folder, .scale = args->scale,
                                       .stop = &tr_app_signal, .log = args->quiet ? NULL : stderr};
    struct tr_profile *profile = NULL;
    if (tr_file_exists(args->out) && !args->force)
        return tr_fail(err, TR_BAD_INPUT, "%s is there already: --force replaces it, --check says whether it is right still",
                       args->out);
    enum tr_status status = tr_file_probe(args->out, err);
    if (status == TR_OK)
        status = tr_app_catch_signals(err);
    if (status != TR_OK)
        return status;
    folder_of(args->out, folder);
    status = tr_calibrate(&how, &profile, err);
    if (status == TR_OK)
        status = write_profile(args, profile, err);
    tr_profile_free(profile);
    return status;
}

static enum tr_status check(const struct calibrate_args *args, struct tr_err *err)
{
    struct tr_catalog *catalog = NULL;
    struct tr_kernel_rates rates;
    struct tr_text why = {0}, text = {0};
    enum tr_status status = tr_catalog_open_empty(&catalog, err);
    if (status == TR_OK)
        status = tr_catalog_add(catalog, args->check, err);
    if (status == TR_OK)
        status = tr_kernel_rates_find(catalog, tr_cores_usable(), &rates, err);
    if (status == TR_OK)
        status = tr_calibrate_check(&rates, TRINE_VERSION, &why, err);
    if (status == TR_OK)
        tr_text_printf(&text, "%s is a profile of this machine, and it is as fast as it was\n", args->check);
    else if (status == TR_NO)
        tr_text_printf(&text, "%s: %s\n", args->check, tr_text_str(&why) + 2);
    tr_text_free(&why);
    tr_catalog_free(catalog);
    if (status != TR_OK && status != TR_NO)
        return status;
    enum tr_status printed = tr_app_print(&text, err);
    return printed == TR_OK ? status : printed;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    const struct calibrate_args *args = parsed;
    (void)given;
    return args->check ? check(args, err) : calibrate(args, err);
}

const struct tr_app_command tr_cmd_calibrate = {&command, sizeof(struct calibrate_args), run};
