/* The profile of a machine: made, written, and held against the machine that it is used on. */
#include "plan/calibrate/inside.h"

#include "base/crowd.h"
#include "base/memory.h"
#include "base/os.h"
#include "base/quantity.h"
#include "lab/train/profile.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHIP_WORDS_BYTES = 37 };
#define NOISE_MAX .15

/* ---- this machine's name ----------------------------------------------------------------------------------------- */

void tr_calibrate_chip_id(const char *processor, int cores, char *id, size_t bytes)
{
    char words[CHIP_WORDS_BYTES];
    size_t len = 0;
    for (const char *at = processor; *at && len + 1 < sizeof words; at++)
        if (isalnum((unsigned char)*at))
            words[len++] = (char)tolower((unsigned char)*at);
        else if (len > 0 && words[len - 1] != '-')
            words[len++] = '-';
    while (len > 0 && words[len - 1] == '-')
        len--;
    words[len] = 0;
    snprintf(id, bytes, "%s-%d-core%s", len ? words : "processor", cores, cores == 1 ? "" : "s");
}

static void name_machine(struct tr_profile *p, const struct tr_calibrate_options *options, int cores)
{
    char date[TR_DATE_BYTES];
    tr_date(tr_wall_s(), date);
    snprintf(p->date, sizeof p->date, "%.10s", date);
    p->year = atoi(date);
    snprintf(p->program, sizeof p->program, "%s", options->program);
    tr_processor_name(p->processor, sizeof p->processor);
    tr_calibrate_chip_id(p->processor, cores, p->chip, sizeof p->chip);
    p->memory_bytes = tr_memory_usable_bytes();
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

/* Bursts that differ so much were not of one machine. */
static enum tr_status check_noise(const struct tr_kernel_rates *rates, struct tr_err *err)
{
    if (rates->machine.noise <= NOISE_MAX)
        return TR_OK;
    return tr_fail(err, TR_FAILED, "equal bursts of multiply-adds differed by %.0f %% (%d threads): something else is at work here, and a "
                   "profile would be of both; try again when the machine is quiet", 100 * rates->machine.noise, rates->threads);
}

/* The machine with so many threads, but for its kernels. */
static enum tr_status begin_threads(enum tr_isa isa, int threads, struct tr_profile *p, struct tr_err *err)
{
    struct tr_kernel_rates *rates = &p->rates[p->count];
    snprintf(p->id[p->count], sizeof p->id[0], "%.100s-%d", p->chip, threads);
    *rates = (struct tr_kernel_rates){.id = p->id[p->count], .chip = p->chip, .processor = p->processor,
                                      .isa = tr_isa_name(isa), .program = p->program, .cores = tr_cores_usable(),
                                      .threads = threads, .machine = p->begun};
    enum tr_status status = tr_calibrate_machine(isa, threads, &rates->machine, err);
    if (status == TR_OK)
        status = check_noise(rates, err);
    p->count += status == TR_OK;
    return status;
}

/* Once more when all is measured: what a minute or two have done to the clock. */
static enum tr_status end_threads(enum tr_isa isa, struct tr_profile *p, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int i = 0; i < p->count && status == TR_OK; i++) {
        tr_calibrate_bursts(isa, p->rates[i].threads, &p->rates[i].machine);
        status = check_noise(&p->rates[i], err);
    }
    return status;
}

/* All entries that were begun. */
static enum tr_status calibrate_kernels(const struct tr_calibrate_options *options, enum tr_isa isa, struct tr_profile *p,
                                        struct tr_progress *bar, struct tr_err *err)
{
    struct tr_samples samples[TR_PROFILE_THREADS_MAX] = {{.at = NULL}};
    for (int i = 0; i < p->count; i++)
        samples[i].threads = p->rates[i].threads;
    enum tr_status status = tr_calibrate_samples(options, isa, bar, samples, p->count, err);
    for (int i = 0; i < p->count; i++) {
        p->rates[i].between_s = samples[i].between_s;
        if (status == TR_OK)
            status = tr_calibrate_fit(&samples[i], &p->rates[i], err);
        free(samples[i].at);
    }
    return status;
}

enum tr_status tr_calibrate_goes_on(const struct tr_calibrate_options *options, struct tr_err *err)
{
    int signal = options->stop ? *options->stop : 0;
    return signal ? tr_fail(err, TR_FAILED, "interrupted by %s: nothing was written", tr_signal_name(signal)) : TR_OK;
}

static enum tr_status calibrate_exchanges(const struct tr_calibrate_options *options, struct tr_profile *p, struct tr_progress *bar,
                                          struct tr_err *err)
{
    int ranks[TR_PROFILE_EXCHANGES_MAX], count = tr_calibrate_rank_counts(p->rates[0].cores, ranks);
    enum tr_status status = TR_OK;
    for (int i = 0; i < count && status == TR_OK; i++) {
        struct tr_exchange_rates *exchange = &p->exchange[i];
        snprintf(p->exchange_id[i], sizeof p->exchange_id[0], "%.100s-threads-%d", p->chip, ranks[i]);
        *exchange = (struct tr_exchange_rates){.id = p->exchange_id[i], .chip = p->chip, .transport = "threads"};
        status = tr_calibrate_threads(ranks[i], options, bar, exchange, err);
        if (ranks[i] > p->rates[0].cores && i > 0) /* those that have a core are in each other's way as before */
            memcpy(exchange->work_times, exchange[-1].work_times, sizeof exchange->work_times);
        p->exchanges += status == TR_OK;
    }
    return status;
}

/* What lies between all cores and one on a scale of logarithms, so that rates of other numbers of threads can be taken from both sides. */
static int middle_of(int cores)
{
    int threads = 2;
    while (threads * threads < cores)
        threads *= 2;
    return threads;
}

static enum tr_status begin_all_threads(enum tr_isa isa, int cores, struct tr_profile *p, struct tr_err *err)
{
    enum tr_status status = begin_threads(isa, cores, p, err);
    if (status == TR_OK && cores > 2)
        status = begin_threads(isa, middle_of(cores), p, err);
    if (status == TR_OK && cores > 1)
        status = begin_threads(isa, 1, p, err);
    return status;
}

static enum tr_status measure(const struct tr_calibrate_options *options, struct tr_profile *p, struct tr_err *err)
{
    enum tr_isa isa;
    int cores = tr_cores_usable(), ranks[TR_PROFILE_EXCHANGES_MAX], exchanges = tr_calibrate_rank_counts(cores, ranks);
    struct tr_progress bar;
    enum tr_status status = tr_isa_choose(&isa, err);
    if (status != TR_OK)
        return status;
    name_machine(p, options, cores);
    p->begun.scale = options->scale;
    if (options->disk_folder)
        status = tr_calibrate_disk(options->disk_folder, &p->begun, err);
    if (status != TR_OK)
        return status;
    tr_progress_start(&bar, options->log, "calibrate", "part",
                      tr_calibrate_visit_count(options->scale) + exchanges * tr_calibrate_exchange_parts(options->scale));
    status = begin_all_threads(isa, cores, p, err);
    if (status == TR_OK)
        status = calibrate_kernels(options, isa, p, &bar, err);
    if (status == TR_OK)
        status = calibrate_exchanges(options, p, &bar, err);
    if (status == TR_OK)
        status = end_threads(isa, p, err);
    tr_progress_end(&bar);
    return status;
}

enum tr_status tr_calibrate(const struct tr_calibrate_options *options, struct tr_profile **out, struct tr_err *err)
{
    struct tr_profile *p = calloc(1, sizeof *p);
    if (!p)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *p);
    enum tr_status status = measure(options, p, err);
    if (status != TR_OK) {
        free(p);
        return status;
    }
    *out = p;
    return TR_OK;
}

void tr_profile_keep(struct tr_profile *p, const struct tr_catalog *before)
{
    for (int i = 0; i < p->count; i++) {
        struct tr_kernel_rates was;
        struct tr_text differs = {0};
        struct tr_err ignored; /* it says nothing of so many threads */
        if (tr_kernel_rates_find(before, p->rates[i].threads, &was, &ignored) == TR_OK) {
            tr_calibrate_foreign(&was, p->rates[i].cores, p->program, &differs);
            p->kept = (!differs.len && tr_kernel_keep_other(&p->rates[i], &was)) || p->kept;
        }
        tr_text_free(&differs);
    }
}

bool tr_profile_kept(const struct tr_profile *profile) { return profile->kept; }

void tr_profile_free(struct tr_profile *profile) { free(profile); }

int tr_profile_count(const struct tr_profile *profile) { return profile->count; }

const struct tr_kernel_rates *tr_profile_rates(const struct tr_profile *profile, int index)
{
    TR_ASSERT(index >= 0 && index < profile->count);
    return &profile->rates[index];
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

void tr_profile_yaml(const struct tr_profile *p, struct tr_text *out)
{
    const struct tr_kernel_machine *m = &p->rates[0].machine;
    tr_text_printf(out, "# What this machine does: written by `trine calibrate`. Keys: docs/catalog.md.\n"
                        "sources:\n  calibration: {title: \"trine calibrate, version %s\", date: %s, grade: measured}\n"
                        "chips:\n  %s:\n    name: \"", p->program, p->date, p->chip);
    tr_text_append_json(out, p->processor, strlen(p->processor));
    tr_text_printf(out, ", %d core%s\"\n    vendor: \"this machine\"\n    year: %d\n    note: \"the year is that of the "
                        "measurement\"\n    source: calibration\n    cores: %d\n    memory: %lldB\n    memory_bandwidth: %.4gB/s\n"
                        "    dense: {fp32: %.4gFLOP/s, bf16: %.4gFLOP/s}\nkernels:\n",
                   p->rates[0].cores, p->rates[0].cores == 1 ? "" : "s", p->year, p->rates[0].cores, (long long)p->memory_bytes, m->read_byte_s[TR_READ_MEMORY],
                   m->peak_flop_s[0], m->peak_flop_s[1]);
    if (p->kept)
        tr_text_append(out, "  # with what an earlier calibration says of cores as far apart as they were not in this one\n");
    for (int i = 0; i < p->count; i++)
        tr_kernel_rates_yaml(&p->rates[i], out);
    if (p->exchanges)
        tr_text_append(out, "exchanges:\n");
    for (int i = 0; i < p->exchanges; i++)
        tr_exchange_yaml(&p->exchange[i], out);
}

/* ---- is it still this machine? ----------------------------------------------------------------------------------- */

static bool other(const char *is, const char *was) { return is && strcmp(is, was) != 0; }

void tr_calibrate_differs(const struct tr_kernel_rates *rates, const struct tr_whose *whose, struct tr_text *why)
{
    if (other(whose->processor, rates->processor))
        tr_text_printf(why, "; the processor is %s, the profile's was %s", whose->processor, rates->processor);
    if (whose->cores && whose->cores != rates->cores)
        tr_text_printf(why, "; %d core%s can be used, the profile's machine had %d", whose->cores, whose->cores == 1 ? "" : "s", rates->cores);
    if (other(whose->isa, rates->isa))
        tr_text_printf(why, "; the kernels are those of %s, the profile's were of %s", whose->isa, rates->isa);
    if (other(whose->program, rates->program))
        tr_text_printf(why, "; this is trine %s, the profile is of %s", whose->program, rates->program);
}

static const char *noted(const char *name) { return name[0] ? name : NULL; }

struct tr_whose tr_whose_of_run(const struct tr_run_profile *ran)
{
    if (!noted(ran->processor))
        return (struct tr_whose){0};
    return (struct tr_whose){ran->processor, tr_isa_name(ran->isa), noted(ran->program), ran->cores};
}

void tr_calibrate_foreign(const struct tr_kernel_rates *rates, int cores, const char *program, struct tr_text *why)
{
    char processor[TR_PROFILE_NAME_BYTES];
    struct tr_err ignored;
    enum tr_isa isa;
    tr_processor_name(processor, sizeof processor);
    const char *kernels = tr_isa_choose(&isa, &ignored) == TR_OK ? tr_isa_name(isa) : NULL;
    tr_calibrate_differs(rates, &(struct tr_whose){processor, kernels, program, cores}, why);
}

/* What equal measurements of a machine that has not changed may differ by; of disks, which others share. */
#define SAME .1
#define SAME_DISK .5

/* Below 0: it is slower than it was, above 0: faster. */
static int compare(const char *what, enum tr_unit unit, double is, double was, double same, struct tr_text *why)
{
    char now[TR_QUANTITY_BYTES], then[TR_QUANTITY_BYTES];
    if (!(was > 0) || !(is > 0) || fabs(is / was - 1) <= same)
        return 0;
    tr_text_printf(why, "; %s is %s, was %s", what, tr_print_quantity(now, unit, is), tr_print_quantity(then, unit, was));
    return is < was ? -1 : 1;
}

/* What memory and the last cache give changes with how far apart cores are, and was measured as `hand_s` was. */
static bool is_moved(const struct tr_kernel_machine *was, const struct tr_kernel_machine *now)
{
    return tr_kernel_unseen(&(struct tr_kernel_machine){.hand_s = was->hand_s}, now->hand_s) != 0;
}

static bool hand_differs(const struct tr_kernel_machine *was, const struct tr_kernel_machine *now, struct tr_text *why)
{
    const int unseen = tr_kernel_unseen(was, now->hand_s);
    if (unseen)
        tr_text_printf(why, "; a line of a cache takes %.0f ns from one core to another, took %.0f: they have %s cache in common now", 1e9 * now->hand_s,
                       1e9 * (unseen < 0 ? was->hand_s : fmax(was->hand_s, was->hand_apart_s)), unseen < 0 ? "a" : "no");
    return unseen != 0;
}

const char *tr_calibrate_compare(const struct tr_kernel_machine *was, const struct tr_kernel_machine *now, struct tr_text *why)
{
    static const char *const levels[TR_READ_LEVELS] = {"reading 24 KiB a thread", "reading 512 KiB a thread",
                                                       "reading 6 MiB a thread", "reading memory"};
    size_t before = why->len;
    bool slower_cores = compare("peak in fp32", TR_UNIT_FLOP_S, now->peak_flop_s[0], was->peak_flop_s[0], SAME, why) < 0, slower_memory = false;
    slower_cores |= compare("peak in bf16", TR_UNIT_FLOP_S, now->peak_flop_s[1], was->peak_flop_s[1], SAME, why) < 0;
    for (int i = 0; i < (is_moved(was, now) ? TR_READ_FAR : TR_READ_LEVELS); i++)
        slower_memory |= compare(levels[i], TR_UNIT_BYTES_S, now->read_byte_s[i], was->read_byte_s[i], SAME, why) < 0;
    bool other_disk = compare("writing to the disk", TR_UNIT_BYTES_S, now->disk_byte_s, was->disk_byte_s, SAME_DISK, why) != 0;
    bool apart = hand_differs(was, now, why), busy = now->waiting > TR_MUCH_WAITING;
    if (busy)
        tr_text_printf(why, "; threads waited %.2f s a second for a core", now->waiting);
    return why->len == before ? NULL
           : busy         ? "other programs are at work here: stop them and check again"
           : slower_cores ? "a lower clock (heat, a limit of power) or a neighbour on the same cores: check again in a quiet minute; if it stays so, calibrate again"
           : apart ? "the host has moved the cores of this virtual machine, which it may undo in a minute: calibrate again, and each state has prices of its own"
           : slower_memory ? "another program here, or a neighbour on this host, uses memory or the last cache: check again in a quiet minute; if it stays so, "
                             "calibrate again"
           : other_disk ? "another disk, or one that others write to: the end of a run with checkpoints is predicted by it; if it stays so, calibrate again"
                   : "something slowed this machine down while it was calibrated: calibrate again";
}

static enum tr_status look_again(int threads, const char *disk_folder, struct tr_kernel_machine *now, struct tr_err *err)
{
    enum tr_isa isa;
    struct tr_err ignored; /* nothing can be written there: nothing is said of the disk */
    double waited_s = tr_team_waited_s(threads), begin_s = tr_clock_s();
    enum tr_status status = tr_isa_choose(&isa, err);
    if (status == TR_OK)
        status = tr_calibrate_machine(isa, threads, now, err);
    now->waiting = fmax(0, tr_team_waited_s(threads) - waited_s) / (tr_clock_s() - begin_s);
    if (status == TR_OK && disk_folder)
        (void)!tr_calibrate_disk(disk_folder, now, &ignored);
    return status;
}

enum tr_status tr_calibrate_check(const struct tr_kernel_rates *rates, const char *program, const char *disk_folder, struct tr_text *why,
                                  struct tr_err *err)
{
    struct tr_kernel_machine now = {.noise = 0};
    const char *likely = "a profile of another machine, or of kernels of another program: calibrate this one";
    tr_calibrate_foreign(rates, tr_cores_usable(), program, why);
    if (why->len == 0) {
        enum tr_status status = look_again(rates->threads, disk_folder, &now, err);
        if (status != TR_OK)
            return status;
        likely = tr_calibrate_compare(&rates->machine, &now, why);
    }
    if (likely)
        tr_text_printf(why, "\n  likely %s", likely);
    return likely ? TR_NO : TR_OK;
}
