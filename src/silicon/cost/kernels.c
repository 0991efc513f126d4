#include "silicon/cost/kernels.h"

#include "base/num.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* ---- kinds of work ----------------------------------------------------------------------------------------------- */

static const struct tr_kernel_term product_terms[] = {
    {"flop", TR_UNIT_FLOP_S, "multiply-adds, counted as two"},
    {"left", TR_UNIT_BYTES_S, "packing of the factor whose rows the result has"},
    {"right", TR_UNIT_BYTES_S, "packing of the other one"},
    {"result", TR_UNIT_BYTES_S, "sums stored, or read and stored once a block of tokens"},
    {"far", TR_UNIT_BYTES_S, "weights or their gradients that are in no cache: besides"},
    {"few", TR_UNIT_BYTES_S, "weights as they lie, where rows are few: instead of all else"},
    {"few_far", TR_UNIT_BYTES_S, "of these, what is in no cache: besides"},
    {"start", TR_UNIT_TIME, "of the threads"},
};
enum { FEW = 5, FEW_FAR, PRODUCT_START };
static const struct tr_kernel_term attention_terms[] = {
    {"flop", TR_UNIT_FLOP_S, "multiply-adds of the pairs that causality allows; of the busiest thread, times threads"},
    {"pairs", TR_UNIT_COUNT, "scores a second: exponentials and what is around them"},
    {"values", TR_UNIT_BYTES_S, "queries, keys and values packed, outputs stored"},
    {"rows", TR_UNIT_COUNT, "rows of queries a second"},
    {"start", TR_UNIT_TIME, "of the threads"},
};
static const struct tr_kernel_term head_terms[] = {
    {"flop", TR_UNIT_FLOP_S, "multiply-adds of its products"},
    {"logits", TR_UNIT_COUNT, "logits a second: exponentials and what is around them"},
    {"weights", TR_UNIT_BYTES_S, "the matrix packed, and its gradient read and stored, once a tile of rows"},
    {"rows", TR_UNIT_BYTES_S, "rows packed and their gradients stored, once a tile of the vocabulary"},
    {"start", TR_UNIT_TIME, "of the threads"},
};
static const struct tr_kernel_term pass_terms[] = {
    {"bytes", TR_UNIT_BYTES_S, "read and written"},
    {"far", TR_UNIT_BYTES_S, "of these, what is in no cache: besides"},
    {"rows", TR_UNIT_COUNT, "groups a second that are summed"},
    {"start", TR_UNIT_TIME, "of the threads"},
};

/* What is gone through once a step is found in the last cache as far as that reaches, and so is what a pass over
 * activations wrote before. Where the caches of processors lie (16 to 64 MiB a few cores), the exact size matters little:
 * both rates are fitted around it. */
static const double near_bytes = 24e6;

static double far_share(double bytes) { return bytes > near_bytes ? 1 - near_bytes / bytes : 0; }

/* Of the tiles of the head (silicon/kernel/head). */
enum { HEAD_ROWS = 2 * TR_TOKEN_BLOCK, HEAD_COLUMNS = 1024 };

#define TERMS(table) (*terms = table, (int)(sizeof table / sizeof *table))

int tr_kernel_terms(enum tr_op_kind kind, const struct tr_kernel_term **terms)
{
    switch (kind) {
    case TR_OP_LINEAR:
    case TR_OP_LINEAR_DX:
    case TR_OP_LINEAR_DW: return TERMS(product_terms);
    case TR_OP_ATTN:
    case TR_OP_ATTN_BWD: return TERMS(attention_terms);
    case TR_OP_HEAD: return TERMS(head_terms);
    case TR_OP_EMBED:
    case TR_OP_EMBED_BWD:
    case TR_OP_NORM:
    case TR_OP_NORM_BWD:
    case TR_OP_LINEAR_END:
    case TR_OP_ROPE:
    case TR_OP_SPLIT:
    case TR_OP_TAKE:
    case TR_OP_GELU:
    case TR_OP_GELU_BWD:
    case TR_OP_SWIGLU:
    case TR_OP_SWIGLU_BWD:
    case TR_OP_ZERO:
    case TR_OP_JOIN:
    case TR_OP_LOSS_SUM:
    case TR_OP_GRAD_SQ:
    case TR_OP_CLIP:
    case TR_OP_ADAMW: return TERMS(pass_terms);
    default: return 0;
    }
}

static double bytes_of(const struct tr_op *op, uint32_t present)
{
    struct tr_work work = tr_op_work(op, present, 0);
    return (double)(work.read_bytes + work.write_bytes);
}

/* silicon/kernel/linear has tiles of so many rows that read weights in place. */
enum { FEW_ROWS = 4 };

bool tr_kernel_is_of_few_rows(const struct tr_op *op) { return op->kind == TR_OP_LINEAR && op->seqs * op->seq_len <= FEW_ROWS; }

static void few_rows_amounts(double bytes, double state_bytes, double *amount)
{
    amount[FEW] = bytes;
    amount[FEW_FAR] = bytes * far_share(state_bytes);
}

static void product_amounts(const struct tr_op *op, const struct tr_kernel_site *site, double *amount)
{
    double tokens = (double)(op->seqs * op->seq_len), in = (double)op->in, out = 0;
    double bytes = (double)tr_dtype_bytes(op->act), passes = 1;
    for (int i = 0; i < op->segments; i++)
        out += (double)op->out[i];
    if (tr_kernel_is_of_few_rows(op)) {
        few_rows_amounts(in * out * (double)tr_dtype_bytes(op->weight), site->state_bytes, amount);
        return;
    }
    double m = tokens, n = out, k = in; /* the result is [m, n] */
    if (op->kind == TR_OP_LINEAR_DX) {
        n = in, k = out;
    } else if (op->kind == TR_OP_LINEAR_DW) {
        m = out, n = in, k = tokens;
        passes = (double)(op->seqs * tr_ceil_div(op->seq_len, TR_TOKEN_BLOCK));
    }
    amount[0] = 2 * m * n * k;
    amount[1] = m * k * bytes;
    amount[2] = n * k * bytes;
    amount[3] = m * n * 4 * passes;
    amount[4] = in * out * (op->kind == TR_OP_LINEAR_DW ? 8 : (double)tr_dtype_bytes(op->weight)) *
                far_share(site->state_bytes);
    amount[PRODUCT_START] = 1;
}

/* The backward pass shares out whole groups of heads, so that few of them leave threads idle. */
static void attention_amounts(const struct tr_op *op, uint32_t present, int threads,
                              double *amount)
{
    double tokens = (double)(op->seqs * op->seq_len);
    double pairs = (double)(op->seqs * op->heads) * (double)op->seq_len * (double)(op->seq_len + TR_KEY_BLOCK) / 2;
    double idle = 1;
    if (op->kind == TR_OP_ATTN_BWD) {
        int64_t groups = op->seqs * op->kv_heads;
        idle = (double)(tr_ceil_div(groups, threads) * threads) / (double)groups;
    }
    amount[0] = (op->kind == TR_OP_ATTN ? 4 : 10) * pairs * op->head_dim * idle;
    amount[1] = pairs * idle;
    amount[2] = bytes_of(op, present);
    amount[3] = tokens * op->heads;
    amount[4] = 1;
}

static void head_amounts(const struct tr_op *op, double *amount)
{
    double tokens = (double)(op->seqs * op->seq_len), vocab = (double)op->vocab, width = (double)op->width;
    double bytes = (double)tr_dtype_bytes(op->act);
    amount[0] = (op->flags & TR_OP_GRAD ? 6 : 2) * tokens * vocab * width;
    amount[1] = tokens * vocab;
    amount[2] = vocab * width * 4 * ceil(tokens / HEAD_ROWS);
    amount[3] = tokens * width * bytes * ceil(vocab / HEAD_COLUMNS);
    amount[4] = 1;
}

/* Whether a pass is over the program's state: else over activations. */
static bool is_of_state(enum tr_op_kind kind)
{
    return kind == TR_OP_ZERO || kind == TR_OP_JOIN || kind == TR_OP_GRAD_SQ || kind == TR_OP_ADAMW;
}

static void pass_amounts(const struct tr_op *op, uint32_t present, const struct tr_kernel_site *site, double *amount)
{
    double bytes = bytes_of(op, present);
    bool norms = op->kind == TR_OP_NORM || op->kind == TR_OP_NORM_BWD;
    amount[0] = bytes;
    amount[1] = bytes * far_share(is_of_state(op->kind) ? site->state_bytes : bytes);
    amount[2] = norms ? (double)(op->seqs * op->seq_len * op->heads) : 0;
    amount[3] = 1;
}

void tr_kernel_amounts(const struct tr_op *op, uint32_t present, const struct tr_kernel_site *site,
                       double amount[TR_KERNEL_TERMS_MAX])
{
    const struct tr_kernel_term *terms = NULL;
    tr_kernel_terms(op->kind, &terms);
    memset(amount, 0, TR_KERNEL_TERMS_MAX * sizeof *amount);
    if (terms == product_terms)
        product_amounts(op, site, amount);
    else if (terms == attention_terms)
        attention_amounts(op, present, site->threads, amount);
    else if (terms == head_terms)
        head_amounts(op, amount);
    else
        pass_amounts(op, present, site, amount);
}

/* ---- prices ------------------------------------------------------------------------------------------------------ */

const struct tr_kernel_price *tr_kernel_price_of(const struct tr_kernel_rates *rates, const struct tr_op *op)
{
    int type = op->act == TR_BF16;
    const struct tr_kernel_price *own = &rates->price[op->kind][type];
    return own->known ? own : &rates->price[TR_OP_JOIN][0]; /* which is of fp32 in programs of either type */
}

bool tr_kernel_is_apart(const struct tr_kernel_rates *rates, double hand_s)
{
    const struct tr_kernel_machine *m = &rates->machine;
    return m->hand_s > 0 && m->hand_apart_s > m->hand_s && hand_s * hand_s > m->hand_s * m->hand_apart_s;
}

/* As far apart that it matters: twice. */
static bool is_further(double hand_s, double than_s) { return than_s > 0 && hand_s > 2 * than_s; }

static void copy_prices(struct tr_kernel_price (*to)[TR_KERNEL_TYPES], const struct tr_kernel_price (*from)[TR_KERNEL_TYPES])
{
    memcpy(to, from, TR_OP_KIND_COUNT * sizeof *to);
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        for (int type = 0; type < TR_KERNEL_TYPES; type++)
            to[kind][type].runs = 0; /* which are not those that `now` was refined by */
}

int tr_kernel_unseen(const struct tr_kernel_machine *m, double hand_s)
{
    return is_further(m->hand_s, hand_s) ? -1 : is_further(hand_s, fmax(m->hand_s, m->hand_apart_s));
}

bool tr_kernel_keep_other(struct tr_kernel_rates *now, const struct tr_kernel_rates *was)
{
    struct tr_kernel_machine *m = &now->machine;
    const double was_far_s = fmax(was->machine.hand_s, was->machine.hand_apart_s);
    const bool hasty = was->machine.scale > 0 && was->machine.scale < fmin(1, m->scale); /* its errors would be those of both */
    if (m->hand_apart_s > 0 || !(m->hand_s > 0) || hasty)
        return false;
    if (is_further(was_far_s, m->hand_s)) {
        copy_prices(now->apart, was->machine.hand_apart_s > 0 ? was->apart : was->price);
        m->hand_apart_s = was_far_s;
    } else if (is_further(m->hand_s, was->machine.hand_s)) {
        memcpy(now->apart, now->price, sizeof now->apart);
        copy_prices(now->price, was->price);
        m->hand_apart_s = m->hand_s;
        m->hand_s = was->machine.hand_s;
        memcpy(m->read_byte_s, was->machine.read_byte_s, sizeof m->read_byte_s);
    } else {
        return false;
    }
    now->step_error = fmax(now->step_error, was->step_error);
    return true;
}

/* How far apart two profiles of one machine, cores near in one and apart in the other, predict 30 steps with two threads, four of five of them;
 * with one thread it is 0.8 % (bench/LOG.md). */
static const double unseen_error = .13;

/* Neither way round is known from the other: most steps take longer with cores apart, and those that memory limits less. */
static void note_unseen(struct tr_kernel_rates *rates, double hand_s)
{
    rates->unseen = tr_kernel_unseen(&rates->machine, hand_s);
    if (rates->unseen)
        rates->step_error = sqrt(rates->step_error * rates->step_error + unseen_error * unseen_error);
}

bool tr_kernel_set_apart(struct tr_kernel_rates *rates, double hand_s)
{
    note_unseen(rates, hand_s);
    if (!tr_kernel_is_apart(rates, hand_s))
        return false;
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        for (int type = 0; type < TR_KERNEL_TYPES; type++)
            if (rates->apart[kind][type].known)
                rates->price[kind][type] = rates->apart[kind][type];
    return true;
}

/* Seconds of each term; returns the terms. */
static const struct tr_kernel_term *terms_of(const struct tr_kernel_rates *rates, const struct tr_op *op, uint32_t present,
                                             double state_bytes, double amount[TR_KERNEL_TERMS_MAX], double time_s[TR_KERNEL_TERMS_MAX])
{
    const struct tr_kernel_site site = {.threads = rates->threads, .state_bytes = state_bytes};
    const struct tr_kernel_price *price = tr_kernel_price_of(rates, op);
    const struct tr_kernel_term *terms = pass_terms;
    tr_kernel_terms(op->kind, &terms);
    tr_kernel_amounts(op, present, &site, amount);
    for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++)
        time_s[i] = amount[i] * price->unit_s[i];
    return terms;
}

double tr_kernel_time(const struct tr_kernel_rates *rates, const struct tr_op *op, uint32_t present, double state_bytes)
{
    double amount[TR_KERNEL_TERMS_MAX], term_s[TR_KERNEL_TERMS_MAX], time_s = 0;
    terms_of(rates, op, present, state_bytes, amount, term_s);
    for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++)
        time_s += term_s[i];
    return time_s;
}

double tr_kernel_few_rows_time(const struct tr_kernel_rates *rates, enum tr_dtype act, double bytes, double state_bytes)
{
    const struct tr_kernel_price *price = &rates->price[TR_OP_LINEAR][act == TR_BF16];
    double amount[TR_KERNEL_TERMS_MAX];
    few_rows_amounts(bytes, state_bytes, amount);
    return amount[FEW] * price->unit_s[FEW] + amount[FEW_FAR] * price->unit_s[FEW_FAR];
}

static enum tr_kernel_limit limit_of(const struct tr_kernel_term *term)
{
    if (term->unit == TR_UNIT_TIME)
        return TR_LIMIT_START;
    return strcmp(term->name, "far") == 0 || strcmp(term->name, "few_far") == 0 ? TR_LIMIT_MEMORY : TR_LIMIT_CORES;
}

void tr_kernel_time_by_limit(const struct tr_kernel_rates *rates, const struct tr_op *op, uint32_t present, double state_bytes,
                             double time_s[TR_LIMIT_COUNT])
{
    double amount[TR_KERNEL_TERMS_MAX], term_s[TR_KERNEL_TERMS_MAX];
    const struct tr_kernel_term *terms = terms_of(rates, op, present, state_bytes, amount, term_s);
    for (int i = 0; i < TR_LIMIT_COUNT; i++)
        time_s[i] = 0;
    for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++)
        if (amount[i] > 0)
            time_s[limit_of(&terms[i])] += term_s[i];
    if (terms == pass_terms && amount[0] > 0) { /* what a pass takes from memory is in both of its terms of bytes */
        double far_s = term_s[0] * amount[1] / amount[0];
        time_s[TR_LIMIT_MEMORY] += far_s;
        time_s[TR_LIMIT_CORES] -= far_s;
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

enum { FIELDS_MAX = 800, PATH_BYTES = 48, COLUMNS = 2 * TR_KERNEL_TYPES };

/* The fields of an entry: those of its own, then kind by kind and type by type a kind's terms and its error. Facts are
 * read by index. */
struct fields {
    struct tr_field field[FIELDS_MAX];
    char path[FIELDS_MAX][PATH_BYTES];
    int count;
    int first[TR_OP_KIND_COUNT][COLUMNS]; /* of a kind that has prices */
};

static const char *const columns[COLUMNS] = {"f32", "bf16", "f32_apart", "bf16_apart"};

static struct tr_kernel_price *price_in(struct tr_kernel_rates *rates, int kind, int column)
{
    return column < TR_KERNEL_TYPES ? &rates->price[kind][column] : &rates->apart[kind][column - TR_KERNEL_TYPES];
}

/* What an entry is read into: facts by index of their field. */
struct target {
    struct tr_fact facts[FIELDS_MAX];
    const char *chip, *processor, *isa, *program;
    struct tr_refined refined;
};

/* What a machine reached, in files below `machine`. */
static const struct {
    const char *name;
    enum tr_unit unit;
    size_t offset;
    const char *help;
} machine_fields[] = {
#define MACHINE(name, unit, field, help) {name, unit, offsetof(struct tr_kernel_machine, field), help}
    MACHINE("f32", TR_UNIT_FLOP_S, peak_flop_s[0], "peak of multiply-adds"),
    MACHINE("bf16", TR_UNIT_FLOP_S, peak_flop_s[1], "the same of pairs of bf16"),
    MACHINE("read_24KiB", TR_UNIT_BYTES_S, read_byte_s[TR_READ_NEAR], "reading so much a thread, again and again"),
    MACHINE("read_512KiB", TR_UNIT_BYTES_S, read_byte_s[TR_READ_MIDDLE], "the same"),
    MACHINE("read_6MiB", TR_UNIT_BYTES_S, read_byte_s[TR_READ_FAR], "the same"),
    MACHINE("read_192MiB", TR_UNIT_BYTES_S, read_byte_s[TR_READ_MEMORY], "the same: memory"),
    MACHINE("hand", TR_UNIT_TIME, hand_s, "a line of a cache from one core to another"),
    MACHINE("hand_apart", TR_UNIT_TIME, hand_apart_s, "the same where that took several times as long"),
    MACHINE("noise", TR_UNIT_RATIO, noise, "the slowest of several equal bursts behind the fastest"),
    MACHINE("noise_bf16", TR_UNIT_RATIO, noise_bf16, "the same in bf16"),
    MACHINE("noise_memory", TR_UNIT_RATIO, noise_memory, "the same of readings of memory"),
    MACHINE("noise_disk", TR_UNIT_RATIO, noise_disk, "the same of large files"),
    MACHINE("waiting", TR_UNIT_RATIO, waiting, "seconds a second that other programs had the cores of threads"),
    MACHINE("disk_write", TR_UNIT_BYTES_S, disk_byte_s, "a large file, with its sync"),
    MACHINE("disk_sync", TR_UNIT_TIME, disk_sync_s, "a small file, with its sync"),
    MACHINE("scale", TR_UNIT_RATIO, scale, "the time spent on measuring, in parts of the usual"),
};
enum { MACHINE_FIELDS = sizeof machine_fields / sizeof *machine_fields };

enum { FIELD_CHIP, FIELD_PROCESSOR, FIELD_ISA, FIELD_PROGRAM, FIELD_REFINED, FIELD_REFINED_BY, FIELD_CORES, FIELD_THREADS, FIELD_STEP_ERROR, FIELD_BETWEEN, FIELD_MACHINE };

static void add_field(struct fields *f, enum tr_unit unit, double min, double max, const char *help, const char *fmt, ...)
    TR_PRINTF(6, 7);
static void add_field(struct fields *f, enum tr_unit unit, double min, double max, const char *help, const char *fmt, ...)
{
    va_list args;
    TR_ASSERT(f->count < FIELDS_MAX);
    va_start(args, fmt);
    vsnprintf(f->path[f->count], PATH_BYTES, fmt, args);
    va_end(args);
    f->field[f->count] = (struct tr_field){.path = f->path[f->count], .kind = TR_FIELD_FACT, .unit = unit, .min = min,
                                           .max = max, .help = help,
                                           .offset = (size_t)f->count * sizeof(struct tr_fact)};
    f->count++;
}

static void add_text(struct fields *f, size_t offset, bool required, const char *help, const char *name)
{
    add_field(f, TR_UNIT_COUNT, 0, 0, help, "%s", name);
    struct tr_field *field = &f->field[f->count - 1];
    field->kind = TR_FIELD_TEXT;
    field->offset = offset;
    field->required = required;
}

static void add_prices(struct fields *f, enum tr_op_kind kind, int column)
{
    const struct tr_kernel_term *terms;
    int count = tr_kernel_terms(kind, &terms);
    const char *name = tr_op_operands(kind)->name;
    if (count == 0)
        return;
    f->first[kind][column] = f->count;
    for (int i = 0; i < count; i++)
        add_field(f, terms[i].unit, terms[i].unit == TR_UNIT_TIME ? 0 : 1, 1e30, terms[i].help, "%s.%s.%s", columns[column], name, terms[i].name);
    add_field(f, TR_UNIT_RATIO, 0, TR_KERNEL_ERROR_MAX, "half width of the 80 % interval", "%s.%s.error", columns[column], name);
    add_field(f, TR_UNIT_RATIO, 0, TR_REFINED_RUNS_MAX, "that refined it", "%s.%s.runs", columns[column], name);
}

static void make_fields(struct fields *f)
{
    f->count = 0;
    add_text(f, offsetof(struct target, chip), true, "the entry of section chips", "chip");
    add_text(f, offsetof(struct target, processor), false, "what it calls itself", "processor");
    add_text(f, offsetof(struct target, isa), false, "instruction set of the kernels", "isa");
    add_text(f, offsetof(struct target, program), false, "version of trine", "program");
    add_text(f, offsetof(struct target, refined.date), false, "the day when runs refined it", "refined");
    add_text(f, offsetof(struct target, refined.by), false, "the attempts of these runs", "refined_by");
    add_field(f, TR_UNIT_COUNT, 1, 65536, "that the machine has; as many as computed unless said", "cores");
    add_field(f, TR_UNIT_COUNT, 1, 65536, "that computed", "threads");
    add_field(f, TR_UNIT_RATIO, 0, TR_KERNEL_ERROR_MAX, "half width of the 80 % interval of a step", "step_error");
    add_field(f, TR_UNIT_TIME, 0, 1, "from one operation to the next", "between");
    for (int i = 0; i < MACHINE_FIELDS; i++)
        add_field(f, machine_fields[i].unit, 0, 1e30, machine_fields[i].help, "machine.%s", machine_fields[i].name);
    for (int column = 0; column < COLUMNS; column++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            add_prices(f, (enum tr_op_kind)kind, column);
}

/* A rate becomes the seconds of one; a start is a time already. */
static void take_prices(const struct fields *f, const struct tr_fact *facts, enum tr_op_kind kind, int column,
                        struct tr_kernel_price *price)
{
    const struct tr_kernel_term *terms;
    int count = tr_kernel_terms(kind, &terms), first = count ? f->first[kind][column] : 0;
    if (count == 0)
        return;
    for (int i = 0; i < count; i++) {
        const struct tr_fact *fact = &facts[first + i];
        if (!tr_known(fact) || fact->value == 0)
            continue;
        price->unit_s[i] = terms[i].unit == TR_UNIT_TIME ? fact->value : 1 / fact->value;
        price->known = true;
    }
    price->error = tr_fact_or(&facts[first + count], .3);
    price->runs = facts[first + count + 1].value;
}

/* A calibration has rates of both types of all that takes most of a step, and a join's: without them operations would take no time, or
 * be priced by their bytes alone. */
static enum tr_status check_whole(const struct tr_kernel_rates *rates, const struct tr_entry *entry, struct tr_err *err)
{
    static const enum tr_op_kind always[] = {TR_OP_LINEAR, TR_OP_LINEAR_DX, TR_OP_LINEAR_DW, TR_OP_ATTN, TR_OP_ATTN_BWD, TR_OP_HEAD};
    for (int type = 0; type < TR_KERNEL_TYPES; type++)
        for (size_t i = 0; i < sizeof always / sizeof *always; i++)
            if (!rates->price[always[i]][type].known)
                return tr_entry_fail(entry, err, "%s.%s is missing, which every calibration has: the file may have been cut short", columns[type],
                                     tr_op_operands(always[i])->name);
    if (!rates->price[TR_OP_JOIN][0].known)
        return tr_entry_fail(entry, err, "f32.join is missing, by which kinds that nobody measured are priced: the file may have been cut short");
    for (int type = 0; type < TR_KERNEL_TYPES; type++) {
        const struct tr_kernel_price *product = &rates->price[TR_OP_LINEAR][type];
        if (product->known && !(product->unit_s[FEW] > 0 || product->unit_s[FEW_FAR] > 0))
            return tr_entry_fail(entry, err, "%s.linear has neither `few` nor `few_far`, as profiles made before 28 November 2026: "
                                 "`trine calibrate` makes a new one", columns[type]);
    }
    return TR_OK;
}

enum tr_status tr_kernel_rates_read(const struct tr_entry *entry, struct tr_kernel_rates *out, struct tr_err *err)
{
    struct tr_kernel_rates r = {.id = entry->id};
    struct target target = {.chip = "", .processor = "", .isa = "", .program = "", .refined = {"", ""}};
    struct fields f;
    make_fields(&f);
    enum tr_status status = tr_entry_read(entry, "", f.field, f.count, &target, err);
    if (status != TR_OK)
        return status;
    r.chip = target.chip;
    r.processor = target.processor;
    r.isa = target.isa;
    r.program = target.program;
    r.refined = target.refined;
    r.threads = (int)target.facts[FIELD_THREADS].value;
    r.cores = (int)tr_fact_or(&target.facts[FIELD_CORES], r.threads);
    for (int i = 0; i < MACHINE_FIELDS; i++)
        *(double *)((char *)&r.machine + machine_fields[i].offset) = target.facts[FIELD_MACHINE + i].value;
    r.step_error = tr_fact_or(&target.facts[FIELD_STEP_ERROR], .3);
    r.between_s = target.facts[FIELD_BETWEEN].value;
    for (int column = 0; column < COLUMNS; column++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            take_prices(&f, target.facts, (enum tr_op_kind)kind, column, price_in(&r, kind, column));
    if (r.threads < 1)
        return tr_entry_fail(entry, err, "threads: how many computed is missing");
    if ((status = check_whole(&r, entry, err)) != TR_OK || (status = tr_refined_check(&r.refined, entry, err)) != TR_OK)
        return status;
    *out = r;
    return TR_OK;
}

/* Of all entries the ones nearest to a number of threads, from both sides. Threads 0: there is none. */
struct nearest {
    struct tr_kernel_rates lower, upper, most; /* lower: at most so many; upper: at least */
    char seen[128];                            /* "4, 1" */
};

static void note(struct nearest *n, const struct tr_kernel_rates *rates, int threads)
{
    size_t len = strlen(n->seen);
    if (rates->threads <= threads && rates->threads > n->lower.threads)
        n->lower = *rates;
    if (rates->threads >= threads && (n->upper.threads == 0 || rates->threads < n->upper.threads))
        n->upper = *rates;
    if (rates->threads > n->most.threads)
        n->most = *rates;
    if (len + 16 < sizeof n->seen)
        snprintf(n->seen + len, sizeof n->seen - len, "%s%d", len ? ", " : "", rates->threads);
}

static enum tr_status look(const struct tr_catalog *catalog, int threads, struct nearest *out, struct tr_err *err)
{
    struct tr_kernel_rates rates;
    *out = (struct nearest){.seen = ""};
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_KERNELS); i++) {
        enum tr_status status = tr_kernel_rates_read(tr_catalog_entry(catalog, TR_SECTION_KERNELS, i), &rates, err);
        if (status != TR_OK)
            return status;
        note(out, &rates, threads);
    }
    return out->most.threads > 0 ? TR_OK : tr_fail(err, TR_BAD_INPUT, "there is no record of trine's kernels: `trine calibrate` makes one");
}

static enum tr_status find(const struct tr_catalog *catalog, int threads, bool may_lie_between, struct tr_kernel_rates *out, struct tr_err *err)
{
    struct nearest n;
    enum tr_status status = look(catalog, threads, &n, err);
    if (status != TR_OK)
        return status;
    if (threads == 0)
        *out = n.most;
    else if (n.lower.threads == threads)
        *out = n.lower;
    else if (may_lie_between && n.lower.threads > 0 && n.upper.threads > 0)
        tr_kernel_rates_between(&n.lower, &n.upper, threads, out);
    else
        return tr_fail(err, TR_BAD_INPUT, "kernels were measured with %s threads, not with %d", n.seen, threads);
    return TR_OK;
}

enum tr_status tr_kernel_rates_find(const struct tr_catalog *catalog, int threads, struct tr_kernel_rates *out, struct tr_err *err)
{
    return find(catalog, threads, false, out, err);
}

enum tr_status tr_kernel_rates_for(const struct tr_catalog *catalog, int threads, struct tr_kernel_rates *out, struct tr_err *err)
{
    return find(catalog, threads, true, out, err);
}

const char *tr_kernel_unmeasured_words(const struct tr_kernel_rates *rates, char words[TR_UNMEASURED_WORDS_BYTES])
{
    char between[TR_UNMEASURED_WORDS_BYTES / 2] = "";
    if (rates->lower > 0)
        snprintf(between, sizeof between, ", between %d and %d threads, which were measured", rates->lower, rates->upper);
    snprintf(words, TR_UNMEASURED_WORDS_BYTES, "%s%s", between,
             rates->unseen < 0   ? ", when cores were further apart than now"
             : rates->unseen > 0 ? ", when cores were nearer each other than now"
                                 : "");
    return words;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* A number of four figures that reads back. */
static void write_value(enum tr_unit unit, double value, struct tr_text *out)
{
    static const struct {
        enum tr_unit unit;
        const char *word;
    } words[] = {{TR_UNIT_FLOP_S, "FLOP/s"}, {TR_UNIT_BYTES_S, "B/s"}, {TR_UNIT_TIME, "s"}};
    char digits[32];
    snprintf(digits, sizeof digits, "%.4g", value);
    tr_text_append(out, digits);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].unit == unit)
            tr_text_append(out, words[i].word);
}

/* JSON's strings are YAML's too. */
static void write_string(const char *string, struct tr_text *out)
{
    tr_text_char(out, '"');
    tr_text_append_json(out, string, strlen(string));
    tr_text_char(out, '"');
}

static void write_price(const struct tr_kernel_price *price, enum tr_op_kind kind, struct tr_text *out)
{
    const struct tr_kernel_term *terms;
    int count = tr_kernel_terms(kind, &terms);
    tr_text_printf(out, "      %s: {", tr_op_operands(kind)->name);
    for (int i = 0; i < count; i++) {
        if (price->unit_s[i] <= 0)
            continue;
        tr_text_printf(out, "%s: ", terms[i].name);
        write_value(terms[i].unit, terms[i].unit == TR_UNIT_TIME ? price->unit_s[i] : 1 / price->unit_s[i], out);
        tr_text_append(out, ", ");
    }
    tr_text_printf(out, "error: %.3g", price->error);
    if (price->runs > 0)
        tr_text_printf(out, ", runs: %.3g, source: runs", price->runs);
    tr_text_append(out, "}\n");
}

/* The numbers of a whole step, and which runs they are from. */
static void write_refined(const struct tr_kernel_rates *rates, struct tr_text *out)
{
    bool runs = tr_refined_runs(&rates->refined) > 0;
    if (runs) {
        tr_text_printf(out, "    refined: %s\n    refined_by: ", rates->refined.date);
        write_string(rates->refined.by, out);
        tr_text_char(out, '\n');
    }
    tr_text_printf(out, runs ? "    step_error: {value: %.3g, source: runs}\n    between: {value: " : "    step_error: %.3g\n    between: ",
                   rates->step_error);
    write_value(TR_UNIT_TIME, rates->between_s, out);
    tr_text_append(out, runs ? ", source: runs}\n" : "\n");
}

void tr_kernel_rates_yaml(const struct tr_kernel_rates *rates, struct tr_text *out)
{
    tr_text_printf(out, "  %s:\n    chip: %s\n    processor: ", rates->id, rates->chip);
    write_string(rates->processor, out);
    tr_text_printf(out, "\n    isa: %s\n    program: ", rates->isa);
    write_string(rates->program, out);
    tr_text_printf(out, "\n    source: calibration\n    cores: %d\n    threads: %d\n", rates->cores, rates->threads);
    write_refined(rates, out);
    tr_text_append(out, "    machine:\n");
    for (int i = 0; i < MACHINE_FIELDS; i++) {
        tr_text_printf(out, "      %s: ", machine_fields[i].name);
        write_value(machine_fields[i].unit, *(const double *)((const char *)&rates->machine + machine_fields[i].offset), out);
        tr_text_char(out, '\n');
    }
    struct tr_kernel_rates copy = *rates;
    for (int column = 0; column < COLUMNS; column++) {
        bool any = false;
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
            const struct tr_kernel_price *price = price_in(&copy, kind, column);
            if (!price->known)
                continue;
            if (!any)
                tr_text_printf(out, "    %s:\n", columns[column]);
            any = true;
            write_price(price, (enum tr_op_kind)kind, out);
        }
    }
}
