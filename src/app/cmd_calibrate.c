/* trine calibrate: this machine becomes a chip of the catalog. */
#include "app/app.h"
#include "app/ranks.h"

#include "base/os.h"
#include "base/quantity.h"
#include "plan/calibrate/calibrate.h"
#include "plan/calibrate/learn.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct calibrate_args {
    const char *out;
    double scale;
    bool check, force, from, ranks, quiet;
};

#define RANKS_TIMEOUT_S 120.
#define AT(field) .offset = offsetof(struct calibrate_args, field)

static const struct tr_option options[] = {
    {.name = "out", .letter = 'o', .kind = TR_OPTION_PATH, AT(out), .fallback = "profile.yaml", .value = "FILE",
     .help = "where the profile is written; its disk is the one that is measured"},
    {.name = "force", .letter = 'f', .kind = TR_OPTION_FLAG, AT(force),
     .help = "replace a profile that is there, but for what it says of cores nearer each other or further apart than now; with --ranks: what it says of so "
             "many processes"},
    {.name = "check", .kind = TR_OPTION_FLAG, AT(check),
     .help = "say whether the profile that is there still is that of this machine (a few seconds, some of them for its disk); leave nothing written"},
    {.name = "from", .kind = TR_OPTION_FLAG, AT(from), .help = "refine the profile that is there by what the RUNs took; nothing is measured"},
    {.name = "ranks", .kind = TR_OPTION_FLAG, AT(ranks),
     .help = "with mpirun or srun: add to the profile that is there what exchanging bytes takes so many processes of this machine"},
    {.name = "scale", .kind = TR_OPTION_DOUBLE, AT(scale), .fallback = "1", .value = "X", .min = .05, .max = 100,
     .help = "time to spend, in parts of the usual; less also means fewer programs, more more rounds of all"},
    {.name = "quiet", .letter = 'q', .kind = TR_OPTION_FLAG, AT(quiet), .help = "no progress on standard error"},
};

static const struct tr_positional positionals[] = {
    {.name = "WHAT", .help = "with --from: run folders of `trine train` on this machine; with --check: another profile than --out", .optional = true, .many = true},
};

static const struct tr_command command = {
    .name = "calibrate",
    .summary = "measure this machine, so that runs on it can be predicted",
    .description =
        "Measures, in a minute or a minute and a half, peak rates, reading of memory by level, the disk, and what trine's own kernels take: small "
        "training programs of many shapes are run, and rates are fitted to the times of their operations; and what exchanging bytes takes ranks "
        "that are threads of one process. Writes a profile: "
        "a file of the catalog with a chip and its kernels. `trine train` finds profile.yaml in the current folder and says "
        "beforehand what a step will take.\n"
        "With --from RUN...: each kind of operation gets the prices between those of the calibration, which counts as one run, and those of the "
        "runs, without their first, cold steps; the interval is narrower where runs agree, wider where they do not. The file says which runs, so "
        "that none counts twice. A run of another machine, instruction set or version is refused, and one that other programs took cores from, or whose cores were near "
        "each other or apart as no calibration saw them, is left out, which is said; "
        "when all are, the exit status is 1. Runs of several ranks refine what so many ranks do to "
        "each other: how much longer operations take while the others work, and, where a run was traced (`trine train --trace-steps`), collectives.\n"
        "With --check the exit status is 0 when the profile is of this machine and program and it is as fast as it was, else 1, with what differs, what that comes "
        "of, likely, and what to do.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = 1,
    .examples = "trine calibrate\n"
                "trine calibrate --check\n"
                "trine calibrate --from runs/depth-4 runs/depth-6\n"
                "mpirun -n 2 trine calibrate --ranks     # of runs under mpirun too\n",
};

static void print_rates(const struct tr_kernel_rates *r, struct tr_text *out)
{
    const struct tr_kernel_machine *m = &r->machine;
    char a[TR_QUANTITY_BYTES], b[TR_QUANTITY_BYTES], c[TR_QUANTITY_BYTES], d[TR_QUANTITY_BYTES];
    tr_text_printf(out, "%d thread%s   peak %s in fp32, %s in bf16 (bursts within %.1f and %.1f %%)\n", r->threads,
                   r->threads == 1 ? " " : "s", tr_print_flop_s(a, m->peak_flop_s[0]), tr_print_flop_s(b, m->peak_flop_s[1]),
                   100 * m->noise, 100 * m->noise_bf16);
    tr_text_printf(out, "            reads %s, %s, %s of caches, %s of memory (within %.1f %%)\n",
                   tr_print_quantity(a, TR_UNIT_BYTES_S, m->read_byte_s[TR_READ_NEAR]),
                   tr_print_quantity(b, TR_UNIT_BYTES_S, m->read_byte_s[TR_READ_MIDDLE]),
                   tr_print_quantity(c, TR_UNIT_BYTES_S, m->read_byte_s[TR_READ_FAR]),
                   tr_print_quantity(d, TR_UNIT_BYTES_S, m->read_byte_s[TR_READ_MEMORY]), 100 * m->noise_memory);
    if (r->threads > 1 && m->hand_s > 0)
        tr_text_printf(out, "            a line of a cache from core to core in %.0f ns%s", 1e9 * m->hand_s, m->hand_apart_s > 0 ? "" : "\n");
    if (r->threads > 1 && m->hand_apart_s > 0)
        tr_text_printf(out, ", at times in %.0f: measured apart\n", 1e9 * m->hand_apart_s);
    tr_text_printf(out, "            steps of programs that a fit had not seen: four of five within %.1f %%\n",
                   100 * r->step_error);
}

/* A neighbour that slows some of the programs down, and not the bursts, shows in how wrong the fit is. */
#define WIDE_ERROR .2

static void note_wide(const struct tr_profile *profile)
{
    double error = 0, waiting = 0;
    for (int i = 0; i < tr_profile_count(profile); i++) {
        error = fmax(error, tr_profile_rates(profile, i)->step_error);
        waiting = fmax(waiting, tr_profile_rates(profile, i)->machine.waiting);
    }
    if (waiting > TR_MUCH_WAITING)
        fprintf(stderr, "note: other programs wanted the cores while this was measured, and threads waited %.2f s a second for one: these are prices of a "
                "machine that is shared, and steps are predicted +- %.0f %% by them; stop the others and calibrate again\n", waiting, 100 * error);
    else if (error > WIDE_ERROR)
        fprintf(stderr, "note: steps of programs that a fit had not seen are off by up to %.0f %%, four of five: something else is at work here, or "
                "too few programs were measured (--scale); calibrate again when the machine is quiet\n", 100 * error);
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
    tr_text_printf(&text, "%s: %s, %d core%s, %s\n", args->out, r->processor, r->cores, r->cores == 1 ? "" : "s", r->isa);
    for (int i = 0; i < tr_profile_count(profile); i++)
        print_rates(tr_profile_rates(profile, i), &text);
    if (tr_profile_kept(profile))
        tr_text_append(&text, "with what the profile before says of cores as far apart as they were not in this calibration\n");
    note_wide(profile);
    tr_text_printf(&text, "disk        %s written and synced (within %.0f %%), a small file in %s\n",
                   tr_print_quantity(a, TR_UNIT_BYTES_S, r->machine.disk_byte_s), 100 * r->machine.noise_disk, tr_print_time(b, r->machine.disk_sync_s));
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

/* What is there of this machine already; nothing, if it cannot be read: it is to be replaced. */
static void keep(const char *path, struct tr_profile *profile)
{
    struct tr_catalog *before = NULL;
    struct tr_err ignored;
    if (tr_file_exists(path) && tr_catalog_open_empty(&before, &ignored) == TR_OK && tr_catalog_add(before, path, &ignored) == TR_OK)
        tr_profile_keep(profile, before);
    tr_catalog_free(before);
}

static enum tr_status calibrate(const struct calibrate_args *args, struct tr_err *err)
{
    char folder[TR_PATH_BYTES];
    struct tr_calibrate_options how = {.program = tr_app_program(), .disk_folder = folder, .scale = args->scale,
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
    if (status == TR_OK) {
        keep(args->out, profile);
        status = write_profile(args, profile, err);
    }
    tr_profile_free(profile);
    return status;
}

static enum tr_status check(const struct calibrate_args *args, const struct tr_given *given, struct tr_err *err)
{
    const char *profile = given->rest_count ? given->rest[0] : args->out;
    struct tr_catalog *catalog = NULL;
    struct tr_kernel_rates rates;
    struct tr_text why = {0}, text = {0};
    char folder[TR_PATH_BYTES];
    enum tr_status status = tr_catalog_open_empty(&catalog, err);
    folder_of(profile, folder);
    if (status == TR_OK)
        status = tr_catalog_add(catalog, profile, err);
    if (status == TR_OK && tr_kernel_rates_find(catalog, tr_cores_usable(), &rates, err) != TR_OK)
        status = tr_kernel_rates_find(catalog, 0, &rates, err); /* of a machine with other cores, which is then said */
    if (status == TR_OK)
        status = tr_calibrate_check(&rates, tr_app_program(), folder, &why, err);
    if (status == TR_OK)
        tr_text_printf(&text, "%s is a profile of this machine, and it is as fast as it was\n", profile);
    else if (status == TR_NO)
        tr_text_printf(&text, "%s: %s\n", profile, tr_text_str(&why) + 2);
    if (status <= TR_NO && rates.machine.scale > 0 && rates.machine.scale < 1)
        tr_text_printf(&text, "  it was measured in %.3g of the usual time (--scale)\n", rates.machine.scale);
    tr_text_free(&why);
    tr_catalog_free(catalog);
    if (status != TR_OK && status != TR_NO)
        return status;
    enum tr_status printed = tr_app_print(&text, err);
    return printed == TR_OK ? status : printed;
}

/* ---- runs ---------------------------------------------------------------------------------------------------------- */

static void say_learned(const char *profile, const struct tr_learned *l, struct tr_text *out)
{
    tr_text_printf(out, "%s: ", profile);
    if (l->ranks > 1)
        tr_text_printf(out, "%d ranks by %s", l->ranks, l->transport);
    else
        tr_text_printf(out, "%d thread%s", l->threads, l->threads == 1 ? "" : "s");
    tr_text_printf(out, ", refined by %d run%s", l->runs, l->runs == 1 ? "" : "s");
    if (l->runs_before)
        tr_text_printf(out, ", %d in all", l->runs + l->runs_before);
    tr_text_printf(out, "; a step +- %.1f %%, was %.1f %%", 100 * l->step_error, 100 * l->step_error_was);
    if (l->fastest > 0)
        tr_text_printf(out, "; kinds of operations take %.3g to %.3g times what they did", l->fastest, l->slowest);
    if (l->moves_fastest > 0)
        tr_text_printf(out, ", collectives %.3g to %.3g times", l->moves_fastest, l->moves_slowest);
    tr_text_char(out, '\n');
    if (l->turns)
        tr_text_printf(out, "  %d run%s had more threads than cores: what an operation takes there is not its own, so whole steps alone were learned from\n",
                       l->turns, l->turns == 1 ? "" : "s");
    if (l->untraced)
        tr_text_printf(out, "  %d run%s had no traces: nothing was learned of collectives there (`trine train --trace-steps 8` writes traces)\n",
                       l->untraced, l->untraced == 1 ? "" : "s");
}

static enum tr_status learn(const struct calibrate_args *args, const struct tr_given *given, struct tr_err *err)
{
    struct tr_learned learned[TR_LEARNED_MAX];
    struct tr_text text = {0};
    int entries = 0;
    if (given->rest_count == 0)
        return tr_fail(err, TR_BAD_INPUT, "--from: which runs? `trine calibrate --from RUN...`");
    enum tr_status status = tr_learn(args->out, given->rest, given->rest_count, learned, &entries, &text, err);
    for (int i = 0; i < entries; i++)
        say_learned(args->out, &learned[i], &text);
    if (status == TR_NO)
        tr_text_printf(&text, "%s: left as it was: no run is left to learn from\n", args->out);
    if (status != TR_OK && status != TR_NO) {
        tr_text_free(&text);
        return status;
    }
    enum tr_status printed = tr_app_print(&text, err);
    return printed == TR_OK ? status : printed;
}

/* ---- ranks that a launcher started ------------------------------------------------------------------------------- */

/* What the profile says of so many processes as it stands in the file; false: nothing. */
static bool find_record(const struct tr_catalog *catalog, int ranks, struct tr_text *out)
{
    struct tr_exchange_rates there;
    struct tr_err ignored;
    if (tr_exchange_find(catalog, "mpi", ranks, &there, &ignored) != TR_OK || there.ranks != ranks)
        return false;
    tr_exchange_yaml(&there, out);
    return true;
}

/* The profile's chip, and that it has no such record yet, or one that is to be replaced: *was. */
static enum tr_status check_profile(const struct calibrate_args *args, int ranks, int cores, struct tr_catalog *catalog, struct tr_kernel_rates *rates,
                                    struct tr_text *was, struct tr_err *err)
{
    const char *path = args->out;
    struct tr_text why = {0};
    enum tr_status status = tr_catalog_add(catalog, path, err);
    if (status == TR_OK)
        status = tr_kernel_rates_find(catalog, 0, rates, err);
    if (status != TR_OK)
        return status;
    tr_calibrate_foreign(rates, cores, tr_app_program(), &why);
    if (why.len)
        status = tr_fail(err, TR_BAD_INPUT, "%s is of another machine or trine%s: calibrate it first", path, tr_text_str(&why));
    tr_text_free(&why);
    if (status == TR_OK && find_record(catalog, ranks, was) && !args->force)
        status = tr_fail(err, TR_BAD_INPUT, "%s: has a record of %d ranks of mpi already: --force replaces it", path, ranks);
    return status;
}

/* The record can be read where it was put: not where somebody has changed the order of sections. */
static enum tr_status check_text(const char *path, const struct tr_text *text, int ranks, struct tr_err *err)
{
    struct tr_catalog *catalog = NULL;
    struct tr_exchange_rates there;
    struct tr_err why = {.text = "the record would be in another section"};
    enum tr_status status = tr_catalog_open_empty(&catalog, err);
    if (status != TR_OK)
        return status;
    if (tr_catalog_add_text(catalog, path, text->at, text->len, &why) != TR_OK ||
        tr_exchange_find(catalog, "mpi", ranks, &there, &why) != TR_OK || there.ranks != ranks)
        status = tr_fail(err, TR_BAD_INPUT, "%s is not as `trine calibrate` writes it, so it is left alone: calibrate again (%s)", path, why.text);
    tr_catalog_free(catalog);
    return status;
}

/* The file without the record that is to be replaced; `text` ends a line. */
static enum tr_status take_out(const char *path, const struct tr_bytes *file, const struct tr_text *record, struct tr_text *text, struct tr_err *err)
{
    const char *at = record->len ? strstr(file->at, tr_text_str(record)) : file->at;
    if (!at)
        return tr_fail(err, TR_BAD_INPUT, "%s: the record of these ranks is not as `trine calibrate` writes it, so it is left alone: take it out", path);
    tr_text_append_bytes(text, file->at, (size_t)(at - file->at));
    tr_text_append(text, at + record->len);
    if (text->len && text->at[text->len - 1] != '\n')
        tr_text_char(text, '\n');
    return TR_OK;
}

/* `was`: the record that it is in place of; empty: there was none. */
static enum tr_status put_record(const char *path, const struct tr_text *was, const struct tr_exchange_rates *exchange, struct tr_err *err)
{
    struct tr_bytes file;
    struct tr_text text = {0};
    enum tr_status status = tr_file_read(path, 64 << 20, &file, err);
    if (status != TR_OK)
        return status;
    status = take_out(path, &file, was, &text, err);
    tr_bytes_free(&file);
    if (status != TR_OK)
        return status;
    if (!strstr(tr_text_str(&text), "\nexchanges:"))
        tr_text_append(&text, "exchanges:\n");
    tr_exchange_yaml(exchange, &text);
    status = tr_text_failed(&text, err) ? TR_FAILED : check_text(path, &text, exchange->ranks, err);
    if (status == TR_OK)
        status = tr_file_write(path, tr_text_str(&text), text.len, err);
    tr_text_free(&text);
    return status;
}

static enum tr_status on_one_host(struct tr_comm *world, struct tr_err *err)
{
    if (tr_comm_count(world) > TR_RANKS_THREADS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "--ranks: these are %d, and up to %d are measured", tr_comm_count(world), TR_RANKS_THREADS_MAX);
    for (int i = 0; i < tr_comm_count(world); i++)
        if (tr_comm_host(world, i) != 0)
            return tr_fail(err, TR_BAD_INPUT, "--ranks: these are on several hosts, and a profile is of one machine");
    return TR_OK;
}

/* The lead has the file; all have their part in the measuring. */
static enum tr_status measure_ranks(const struct calibrate_args *args, struct tr_app_ranks *ranks, struct tr_text *said, struct tr_err *err)
{
    char id[TR_CATALOG_ID_BYTES];
    struct tr_catalog *catalog = NULL;
    struct tr_kernel_rates rates = {.chip = ""};
    struct tr_exchange_rates exchange = {.id = id, .transport = "mpi"};
    struct tr_text was = {0};
    const struct tr_calibrate_options how = {.scale = args->scale};
    int count = tr_comm_count(ranks->world), cores;
    enum tr_status status = tr_app_ranks_cores(ranks, &cores, err);
    if (status == TR_OK)
        status = on_one_host(ranks->world, err);
    if (status == TR_OK && ranks->leads && (status = tr_catalog_open_empty(&catalog, err)) == TR_OK)
        status = check_profile(args, count, cores, catalog, &rates, &was, err);
    status = tr_app_ranks_alike(ranks, status, err);
    if (status == TR_OK)
        status = tr_app_ranks_alike(ranks, tr_calibrate_exchange(ranks->world, cores, &how, NULL, &exchange, err), err);
    if (status == TR_OK && ranks->leads) {
        snprintf(id, sizeof id, "%.40s-mpi-%d", rates.chip, count);
        exchange.chip = rates.chip;
        status = put_record(args->out, &was, &exchange, err);
        tr_text_printf(said, "%s: what exchanging bytes takes %d ranks of mpi was %s (%s)\n", args->out, count, was.len ? "replaced" : "added", id);
    }
    tr_text_free(&was);
    tr_catalog_free(catalog);
    return tr_app_ranks_alike(ranks, status, err);
}

static enum tr_status calibrate_ranks(const struct calibrate_args *args, struct tr_err *err)
{
    struct tr_app_ranks ranks;
    struct tr_text said = {0};
    enum tr_status status = tr_app_ranks_open(&ranks, RANKS_TIMEOUT_S, err);
    if (status == TR_OK && !ranks.world)
        status = tr_fail(err, TR_BAD_INPUT, "--ranks: one process is here; `mpirun -n 2 trine calibrate --ranks` starts two (ranks that are threads "
                         "are measured without it)");
    if (status == TR_OK)
        status = measure_ranks(args, &ranks, &said, err);
    tr_app_ranks_close(&ranks, status, err);
    if (status == TR_OK && ranks.leads)
        return tr_app_print(&said, err);
    tr_text_free(&said);
    return status;
}

/* Copies of one process would be in each other's way, and write one profile. */
static enum tr_status refuse_copies(struct tr_err *err)
{
    struct tr_launched launched = tr_launched();
    (void)tr_fail(err, TR_BAD_INPUT, "calibrate: %s starts %d processes, and one measures a machine: start it by itself (what several exchange is "
                  "measured with --ranks, for a profile that is there)", launched.by, launched.ranks);
    tr_app_ranks_apart(err);
    return TR_BAD_INPUT;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    const struct calibrate_args *args = parsed;
    if (!args->ranks && tr_launched().ranks > 1)
        return refuse_copies(err);
    if (!args->from && given->rest_count > args->check)
        return tr_fail(err, TR_BAD_INPUT, "calibrate: '%s': run folders go with --from, and one profile with --check", given->rest[args->check]);
    if (args->from + args->check + args->ranks > 1)
        return tr_fail(err, TR_BAD_INPUT, "calibrate: --from, --check and --ranks are three things to do with a profile that is there: give one");
    const char *instead = args->from ? "from" : args->check ? "check" : args->ranks ? "ranks" : NULL;
    if (instead && !args->ranks && (args->force || args->scale < 1 || args->scale > 1))
        return tr_fail(err, TR_BAD_INPUT, "calibrate: --%s is of measuring anew, and --%s is not", args->force ? "force" : "scale", instead);
    if (args->from)
        return learn(args, given, err);
    return args->check ? check(args, given, err) : args->ranks ? calibrate_ranks(args, err) : calibrate(args, err);
}

const struct tr_app_command tr_cmd_calibrate = {&command, sizeof(struct calibrate_args), run};
