#define _GNU_SOURCE /* strcasestr */
/* Rows of published training runs: from columns and habits of the field to a task, a layout and a site. */
#include "plan/validate/runs.h"

#include "base/fmath.h"
#include "base/num.h"
#include "base/quantity.h"
#include "plan/validate/guess.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* More than any column counts: parameters, tokens a second, FLOP/s in 10^12. */
#define TR_RUN_NUMBER_MAX 1e18
/* A step of a year is none. */
#define TR_RUN_STEP_MAX_S 3.2e7

/* A row on the way in. */
struct row {
    const char *name;
    const struct tr_csv *csv;
    int64_t row;
    const struct tr_catalog *catalog;
    struct tr_runs *runs;
    struct tr_run *run;
    struct tr_err *err;
};

static const char *cell(const struct row *r, const char *column)
{
    int at = tr_csv_column(r->csv, column);
    return at < 0 ? "" : tr_csv_cell(r->csv, r->row, at);
}

/* A whole number; 0 when the cell is empty. */
static enum tr_status whole(const struct row *r, const char *column, int64_t *out)
{
    const char *text = cell(r, column);
    char *end;
    double value = strtod(text, &end);
    if (!*text) {
        *out = 0;
        return TR_OK;
    }
    if (*end || !(value >= 0) || value > TR_COST_MAX_EXTENT || value != floor(value))
        return tr_fail(r->err, TR_BAD_INPUT, "%s:%lld: %s is \"%.60s\": expected a whole number from 0 on", r->name,
                       (long long)r->csv->line[r->row], column, text);
    *out = (int64_t)value;
    return TR_OK;
}

static enum tr_status number(const struct row *r, const char *column, double *out)
{
    const char *text = cell(r, column);
    char *end;
    *out = 0;
    if (!*text)
        return TR_OK;
    *out = strtod(text, &end);
    if (end == text || *end || !(*out >= 0) || *out > TR_RUN_NUMBER_MAX)
        return tr_fail(r->err, TR_BAD_INPUT, "%s:%lld: %s is \"%.60s\": expected a number from 0 to %g", r->name,
                       (long long)r->csv->line[r->row], column, text, TR_RUN_NUMBER_MAX);
    return TR_OK;
}

static void because(struct tr_run *run, const char *why)
{
    if (!run->reason[0])
        snprintf(run->reason, sizeof run->reason, "%.190s", why);
}

/* Whether the word is in the text, in whatever case. */
static bool says(const char *text, const char *word)
{
    for (size_t length = strlen(word); *text; text++)
        if (strncasecmp(text, word, length) == 0)
            return true;
    return false;
}

/* The same of a whole word: neither more letters nor an underscore after it. */
static bool says_word(const char *text, const char *word)
{
    for (size_t length = strlen(word); *text; text++)
        if (strncasecmp(text, word, length) == 0 && !isalnum((unsigned char)text[length]) && text[length] != '_')
            return true;
    return false;
}

/* A word that nothing is known by is not guessed at. */
static void unknown_word(const struct row *r, const char *column, const char *known)
{
    if (!r->run->reason[0])
        snprintf(r->run->reason, sizeof r->run->reason, "%s is \"%.60s\": expected %s", column, cell(r, column), known);
}

/* What a row prints of the run as a whole. 0: not said. */
struct printed {
    double step, tokens, tflops, mfu, memory, days, chip_hours, params, active; /* tokens: a second and chip */
    int64_t chips, batch, length;
};

static enum tr_status read_printed(const struct row *r, struct printed *p)
{
    const struct {
        const char *name;
        double *to;
    } all[] = {{"step_time_s", &p->step},       {"tokens_per_s_per_chip", &p->tokens},
               {"mfu_reported", &p->mfu},       {"tflops_per_chip_reported", &p->tflops},
               {"days", &p->days},              {"mem_per_chip_gb", &p->memory},
               {"chip_hours", &p->chip_hours},  {"params_total", &p->params},
               {"params_active", &p->active}};
    enum tr_status status = TR_OK;
    for (size_t i = 0; status == TR_OK && i < sizeof all / sizeof *all; i++)
        status = number(r, all[i].name, all[i].to);
    if (status == TR_OK)
        status = whole(r, "n_chips", &p->chips);
    if (status == TR_OK)
        status = whole(r, "global_batch_seqs", &p->batch);
    if (status == TR_OK && (p->chips > TR_CHIPS_MAX || p->batch > TR_CHIPS_MAX))
        status = tr_fail(r->err, TR_BAD_INPUT, "%s:%lld: more chips or sequences than %d", r->name,
                         (long long)r->csv->line[r->row], TR_CHIPS_MAX);
    return status;
}

/* FLOPs of a step as the row's source counts them. The traps of that (docs/formats/measurements.md): attention whole or
 * causal, a forward pass computed again counted or not. */
static double counted_flop(const struct row *r)
{
    const char *convention = cell(r, "flops_convention");
    const struct tr_task *task = &r->run->task;
    double linear = 6 * tr_shape_params(task->model).matmul;
    double attention = tr_shape_flop_per_token(task->model, task->batch.seq_len) - linear;
    double token = linear + (says(convention, "causal") ? attention : 2 * attention);
    return (says(convention, "hardware") ? 4. / 3 : 1) * token * (double)(task->batch.global_batch * task->batch.seq_len);
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

struct columns {
    int64_t layers, width, heads, kv_heads, ffn, vocab, gated, experts, top_k, seq_len;
    bool gated_said;
};

static enum tr_status read_columns(const struct row *r, struct columns *c)
{
    const struct {
        const char *name;
        int64_t *to;
    } all[] = {{"n_layers", &c->layers}, {"d_model", &c->width}, {"n_heads", &c->heads}, {"n_kv_heads", &c->kv_heads},
               {"d_ff", &c->ffn},        {"vocab", &c->vocab},   {"gated_mlp", &c->gated}, {"n_experts", &c->experts},
               {"top_k", &c->top_k},     {"seq_len", &c->seq_len}};
    enum tr_status status = TR_OK;
    for (size_t i = 0; status == TR_OK && i < sizeof all / sizeof *all; i++)
        status = whole(r, all[i].name, all[i].to);
    c->gated_said = *cell(r, "gated_mlp") != 0;
    if (status == TR_OK && c->gated > 1)
        unknown_word(r, "gated_mlp", "0 or 1");
    if (status == TR_OK && c->layers > TR_LAYERS_MAX)
        status = tr_fail(r->err, TR_BAD_INPUT, "%s:%lld: n_layers is more than %d", r->name, (long long)r->csv->line[r->row], TR_LAYERS_MAX);
    return status;
}

/* A model of the catalog whose layers these are: by name, or by all that the columns say of one layer. */
static bool known_model(const struct row *r, const struct columns *c, struct tr_model_shape *out)
{
    struct tr_err why;
    const struct tr_entry *entry = tr_catalog_look(r->catalog, TR_SECTION_MODELS, cell(r, "model"));
    if (entry && tr_shape_read(entry, out, &why) == TR_OK && (!c->width || c->width == out->width))
        return true;
    for (int i = 0; c->width && i < tr_catalog_count(r->catalog, TR_SECTION_MODELS); i++) {
        struct tr_model_shape s;
        if (tr_shape_read(tr_catalog_entry(r->catalog, TR_SECTION_MODELS, i), &s, &why) != TR_OK || s.width != c->width ||
            s.heads != c->heads || s.experts != c->experts || s.top_k != c->top_k || (c->vocab && s.vocab != c->vocab) ||
            (c->gated_said && s.gated != (c->gated != 0)))
            continue;
        if ((s.experts ? s.expert_ffn : s.ffn) != c->ffn || (c->kv_heads && s.kv_heads != c->kv_heads))
            continue;
        *out = s;
        return true;
    }
    return false;
}

/* What columns say of a model of the catalog's name goes before what the catalog says. d_ff is an expert's where there are any. */
static void take_columns(const struct columns *c, struct tr_model_shape *s)
{
    if (c->layers)
        s->layers = (int32_t)c->layers;
    if (s->dense_layers >= s->layers)
        s->dense_layers = s->layers > 1;
    if (c->vocab)
        s->vocab = c->vocab;
    if (c->ffn)
        *(s->experts ? &s->expert_ffn : &s->ffn) = c->ffn;
    if (c->gated_said)
        s->gated = c->gated != 0;
}

/* From the columns alone. What they do not say is as the families of models have it. */
static void plain_model(const struct columns *c, struct tr_model_shape *s)
{
    bool gated = c->gated_said ? c->gated != 0 : c->kv_heads && c->kv_heads < c->heads;
    int64_t heads = c->heads ? c->heads : tr_max_i64(1, c->width / 128);
    if (!c->heads && c->kv_heads && heads % c->kv_heads)
        heads = c->kv_heads;
    int64_t head_dim = c->width % heads ? 128 : c->width / heads; /* heads wider or narrower together than the model: Gemma, Qwen3 */
    int64_t ffn = c->ffn ? c->ffn : gated ? tr_round_up(c->width * 8 / 3, 256) : 4 * c->width;
    *s = (struct tr_model_shape){.layers = (int32_t)c->layers, .width = c->width, .heads = heads,
                                 .kv_heads = c->kv_heads ? c->kv_heads : heads, .head_dim = head_dim, .value_dim = head_dim, .vocab = c->vocab ? c->vocab : 50257,
                                 .positions = tr_max_i64(c->seq_len, 2048), .gated = gated, .rope = gated, .learned = !gated,
                                 .biased = !gated, .tied = !gated};
    if (!c->experts) {
        s->ffn = ffn;
        return;
    }
    s->experts = c->experts, s->top_k = c->top_k ? c->top_k : 1;
    s->expert_ffn = ffn, s->moe_every = 1;
}

/* One of which only the size is known: its parameters, or the work of a token. */
static bool sized_model(const struct row *r, const struct printed *p, struct tr_model_shape *out)
{
    double active = p->active, total = p->params;
    bool experts = strtol(cell(r, "ep"), NULL, 10) > 1 || *cell(r, "n_experts");
    if (!(active > 0) && !(p->params > 0) && p->tflops > 0 && p->tokens > 0)
        active = p->tflops * 1e12 / p->tokens / 6;
    r->run->assumed = true;
    if (experts && !(total > active))
        total = 10 * active; /* as DeepSeek-V2 to V4, Qwen3 and gpt-oss have it, by a factor of two */
    return tr_guess_model(cell(r, "model"), total, active, out);
}

/* As many tokens as a plan has that does not say; where the row prints FLOP/s too, as many as make its work come out. */
static int64_t guess_length(const struct row *r, const struct printed *p)
{
    const int64_t most = 1 << 17;
    struct tr_task *task = &r->run->task;
    int64_t best = tr_shape_usual_length(&r->run->model);
    double best_off = INFINITY;
    r->run->assumed = true;
    for (int64_t length = 512; p->tflops > 0 && length <= most; length *= 2) {
        double rate = p->tflops * 1e12, off = INFINITY;
        task->batch = (struct tr_batch){length, p->step > 0 ? p->batch : 1};
        if (p->step > 0 && p->batch > 0 && p->chips > 0)
            off = fabs(tr_log(counted_flop(r) / (rate * p->step * (double)p->chips)));
        else if (p->tokens > 0)
            off = fabs(tr_log(counted_flop(r) / (double)length / (rate / p->tokens)));
        if (off < best_off)
            best = length, best_off = off;
    }
    return best;
}

/* The length of sequences, the batch and the chips where the row leaves them open. */
static void complete(const struct row *r, struct printed *p)
{
    struct tr_batch *batch = &r->run->task.batch;
    if (!p->length && !r->run->reason[0])
        p->length = guess_length(r, p);
    if (!p->chips && p->chip_hours > 0)
        p->chips = tr_guess_chips(p->chip_hours), r->run->assumed = true;
    if (!p->batch && p->step > 0 && p->tokens > 0 && p->length) {
        double sequences = p->step * p->tokens * (double)p->chips / (double)p->length;
        if (sequences >= .5 && sequences <= TR_CHIPS_MAX)
            p->batch = llround(sequences);
        else
            because(r->run, "its step time, tokens/s and chips make no batch that could be");
    }
    if (!p->batch && !(p->step > 0) && p->length && p->chips)
        p->batch = tr_guess_batch(p->length, p->chips), r->run->assumed = true;
    *batch = (struct tr_batch){p->length, p->batch};
    if (!p->chips)
        because(r->run, "the number of chips is not said");
    if (!p->batch)
        because(r->run, "the global batch is not said");
}

static enum tr_status read_model(const struct row *r, struct printed *p)
{
    struct columns c = {0};
    struct tr_model_shape *s = &r->run->model;
    enum tr_status status = read_columns(r, &c);
    struct tr_err why;
    if (status != TR_OK)
        return status;
    p->length = c.seq_len;
    if (known_model(r, &c, s)) {
        take_columns(&c, s);
    } else if (c.layers && c.width) {
        r->run->assumed = c.heads && c.width % c.heads;
        plain_model(&c, s);
    } else if (!sized_model(r, p, s)) {
        because(r->run, "a model of which neither the columns nor the catalog say the layers");
        return TR_OK;
    }
    snprintf(s->name, sizeof s->name, "%.*s", TR_SHAPE_NAME_BYTES - 1, cell(r, "model"));
    s->positions = tr_max_i64(s->positions, c.seq_len);
    if (tr_shape_check(s, "its columns", &why) != TR_OK)
        because(r->run, why.text);
    complete(r, p);
    s->positions = tr_max_i64(s->positions, p->length);
    return TR_OK;
}

/* ---- the layout -------------------------------------------------------------------------------------------------- */

/* "ZeRO-2", "zero 2", "2"; -1: no stage is said. */
static int zero_stage(const char *text)
{
    const char *at = strcasestr(text, "zero");
    if (at)
        at += strlen("zero") + strspn(at + strlen("zero"), "- _");
    else if (text[0] && !text[1])
        at = text;
    return at && *at >= '0' && *at <= '3' ? *at - '0' : -1;
}

/* As tables write it: "ZeRO-1", "FSDP128+DP", "FSDP2 shard=8", "HSDP", "distributed optimizer", "none (plain DP)". */
static void read_sharding(const struct row *r, struct tr_layout *l, const struct tr_stack *stack)
{
    const char *text = cell(r, "zero_stage_or_fsdp");
    bool whole_shards = tr_stack_is_like(stack, "fsdp");
    r->run->zero_open = !*text;
    if (!*text)
        l->zero = whole_shards ? 3 : tr_stack_is_like(stack, "megatron-core") ? 1 : 0;
    else if (says(text, "SHARD_GRAD_OP") || says(text, "optimizer+gradient"))
        l->zero = 2;
    else if (says(text, "FSDP") || says(text, "HSDP"))
        l->zero = 3;
    else if (zero_stage(text) >= 0)
        l->zero = zero_stage(text);
    else if (says(text, "zero") || says(text, "optimizer")) /* of the distributed optimizer; ZeRO of no stage */
        l->zero = says(text, "none") ? 0 : 1;
    else if (says(text, "none") || says(text, "DDP"))
        l->zero = 0;
    else
        unknown_word(r, "zero_stage_or_fsdp", "none, ZeRO-1, ZeRO-2, ZeRO-3, FSDP or HSDP");
    if (l->zero != 3)
        return;
    const char *digits = strstr(text, "shard=") ? strstr(text, "shard=") + 6
                         : strstr(text, "FSDP=") ? strstr(text, "FSDP=") + 5
                         : says(text, "FSDP2")   ? ""
                         : strstr(text, "FSDP")  ? strstr(text, "FSDP") + 4
                                                 : "";
    int64_t shard = isdigit((unsigned char)*digits) ? strtol(digits, NULL, 10) : 0;
    if (says(text, "HSDP") && !shard)
        shard = r->run->where->system.chips_per_node;
    int64_t replicas = (int64_t)l->dp * l->cp;
    if (shard > 0 && shard < replicas && replicas % shard == 0)
        l->shard = (int32_t)shard;
}

static void read_recompute(const struct row *r, struct tr_run *run)
{
    const char *text = cell(r, "recompute"), *notes = cell(r, "notes");
    run->rerun_open = !*text;
    if (*text && !says(text, "full") && !says(text, "selective") && !says(text, "none"))
        unknown_word(r, "recompute", "none, selective or full");
    run->layout.rerun = says(text, "full") ? TR_RERUN_FULL : says(text, "selective") ? TR_RERUN_SELECTIVE : TR_RERUN_NONE;
    /* MaxText's: every product is kept, on the chip or by its host. */
    if (says_word(notes, "remat_policy=minimal") || says_word(notes, "remat_policy=minimal_offloaded"))
        run->layout.rerun = TR_RERUN_NONE, run->rerun_open = false;
}

/* torchtitan's notes begin with it: "Interleaved1F1B schedule" has two chunks a rank unless told, "1F1B" one. False: these do not. */
static bool read_torchtitan_schedule(const struct row *r, struct tr_layout *l)
{
    const char *notes = cell(r, "notes"), *interleaved = "Interleaved1F1B";
    bool two = strncmp(notes, interleaved, strlen(interleaved)) == 0;
    if (!two && strncmp(notes, "1F1B", 4) != 0)
        return false;
    if (r->run->chunks_open)
        l->vpp = two ? 2 : 1;
    r->run->chunks_open = false;
    return true;
}

/* Others' schedules stand somewhere in the notes: "schedule ZB-1p". */
static void read_schedule(const struct row *r, struct tr_layout *l)
{
    const char *at = strstr(cell(r, "notes"), "schedule ");
    if (l->pp == 1 || read_torchtitan_schedule(r, l) || !at)
        return;
    at += strlen("schedule ");
    if (strncasecmp(at, "ZB-2p", 5) == 0 || strncasecmp(at, "ZB-V", 4) == 0 || strncasecmp(at, "v-", 2) == 0 ||
        strncasecmp(at, "zbv", 3) == 0)
        l->pipeline = TR_PIPELINE_ZERO_BUBBLE_2P;
    else if (strncasecmp(at, "ZB", 2) == 0)
        l->pipeline = TR_PIPELINE_ZERO_BUBBLE;
    else if (strncasecmp(at, "1F1B-I", 6) == 0 && l->vpp == 1) /* how many chunks is not said: each its own layer, nearly */
        l->vpp = (int32_t)tr_max_i64(1, r->run->model.layers / l->pp / 2);
    if (l->pipeline != TR_PIPELINE_1F1B)
        l->vpp = 1;
}

static enum tr_status read_layout(const struct row *r, const struct printed *p)
{
    struct tr_run *run = r->run;
    struct tr_layout *l = &run->layout;
    int64_t tp, sp, pp, vpp, cp, ep, micro, chips = p->chips, batch = p->batch;
    const struct {
        const char *name;
        int64_t *to;
    } all[] = {{"tp", &tp}, {"sp", &sp}, {"pp", &pp}, {"vpp", &vpp}, {"cp", &cp}, {"ep", &ep}, {"micro_batch", &micro}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        enum tr_status status = whole(r, all[i].name, all[i].to);
        if (status != TR_OK)
            return status;
        if (*all[i].to > TR_CHIPS_MAX)
            return tr_fail(r->err, TR_BAD_INPUT, "%s:%lld: %s is more than %d", r->name,
                           (long long)r->csv->line[r->row], all[i].name, TR_CHIPS_MAX);
    }
    *l = tr_layout_single();
    run->layout_open = !tp && !pp && !cp && !says(cell(r, "zero_stage_or_fsdp"), "FSDP") &&
                       !says(cell(r, "zero_stage_or_fsdp"), "ZeRO-3");
    l->tp = (int32_t)tr_max_i64(1, tp);
    l->pp = (int32_t)tr_max_i64(1, pp);
    l->cp = (int32_t)tr_max_i64(1, cp);
    l->ep = (int32_t)tr_max_i64(1, ep);
    l->vpp = (int32_t)(l->pp > 1 ? tr_max_i64(1, vpp) : 1);
    run->chunks_open = l->pp > 1 && !vpp && !tr_stack_is_like(&run->where->stack, "megatron-2021");
    int64_t model_parallel = (int64_t)l->tp * l->pp * l->cp;
    struct tr_layout whole = *l;
    struct tr_err why;
    whole.dp = 0;
    if (chips && tr_layout_fit_chips(&whole, chips, &why) != TR_OK)
        because(run, why.text);
    l->dp = (int32_t)tr_max_i64(1, chips / model_parallel);
    /* More replicas than sequences: what cuts the sequences was left out. */
    run->cp_said = cp > 0;
    run->context_open = l->cp > 1 && tr_stack_is_like(&run->where->stack, "mlperf-nemo"); /* Megatron's own is a ring */
    run->ep_open = run->model.experts && !ep;
    run->layout_open = run->layout_open || (!(tp && pp && cp) && batch && l->dp > batch);
    /* Printed as rounded, or counted with a few sequences more: 1,538 on 12 replicas. */
    if (!run->layout_open && batch % l->dp && batch > 50 * (int64_t)l->dp)
        run->task.batch.global_batch = batch - batch % l->dp, run->assumed = true;
    run->micro_open = !micro;
    l->micro_batch = tr_max_i64(1, micro);
    if (sp > 1)
        unknown_word(r, "sp", "0 or 1");
    l->sp = l->tp > 1 && (*cell(r, "sp") ? sp != 0 : tr_stack_is_like(&run->where->stack, "megatron-core"));
    read_schedule(r, l);
    /* Recipes that name no dispatcher leave Megatron-Core's own, which is that. */
    l->bare_exchange = says(cell(r, "notes"), "from recipe") && !says(cell(r, "notes"), "dispatcher=");
    l->graphs = says(cell(r, "notes"), "cuda_graph=") || says(cell(r, "notes"), "token drop");
    if (l->vpp > 1)
        l->pipeline = TR_PIPELINE_INTERLEAVED;
    read_sharding(r, l, &run->where->stack);
    read_recompute(r, run);
    /* Printed wider than the ranks that there are: as wide as they are. */
    while (run->model.experts && !run->layout_open && (int64_t)l->dp * l->cp * l->tp % l->ep)
        l->ep--, run->assumed = true;
    if (says(cell(r, "notes"), "LoRA") || says(cell(r, "model"), "LoRA"))
        run->task.lora_rank = 16;
    return TR_OK;
}

/* ---- the site ---------------------------------------------------------------------------------------------------- */

/* By name, or the narrowest whose name is in the text: "FP8 (e4m3)", "bf16+fp8". */
static enum tr_format named_format(const char *text)
{
    enum tr_format format = tr_format_find(text);
    for (int i = TR_FORMAT_COUNT - 1; i >= 0 && format == TR_FORMAT_COUNT; i--)
        if (says(text, tr_format_info((enum tr_format)i)->name))
            format = (enum tr_format)i;
    return format == TR_FORMAT_COUNT && says(text, "fp4") ? TR_FORMAT_NVFP4 : format;
}

static enum tr_format format_of(const struct row *r, const struct tr_chip *chip)
{
    const struct tr_fact *rate = chip->rate_flop_s;
    const char *text = cell(r, "precision");
    bool narrow = tr_known(&rate[TR_RATE_FP8]), scaled = tr_known(&rate[TR_RATE_FP6]) || tr_known(&rate[TR_RATE_FP4]);
    /* Who does not say it races: those rows reach more than the peak of 16 bits where there are 8. */
    enum tr_format format = *text ? named_format(text) : narrow ? TR_FORMAT_FP8 : TR_FORMAT_BF16;
    if (format == TR_FORMAT_FP16 || !tr_known(&rate[TR_RATE_BF16]))
        return tr_known(&rate[TR_RATE_FP16]) ? TR_FORMAT_FP16 : TR_FORMAT_BF16;
    /* A recipe for newer chips, on one without units for it: as near as it comes. */
    if (format == TR_FORMAT_MXFP8 && !scaled)
        format = TR_FORMAT_FP8;
    bool has = format != TR_FORMAT_COUNT && tr_known(&rate[tr_format_info(format)->rate]);
    return has ? format : TR_FORMAT_BF16;
}

/* "H100-SXM" with 80 GB is a chip of its own when the catalog has one of that name and size. */
static bool find_chip(const struct row *r, struct tr_chip *out, struct tr_err *why)
{
    char name[96];
    const char *chip = cell(r, "chip");
    snprintf(name, sizeof name, "%.60s-%.20s", chip, cell(r, "chip_mem_gb"));
    const struct tr_entry *entry = *cell(r, "chip_mem_gb") ? tr_catalog_look(r->catalog, TR_SECTION_CHIPS, name) : NULL;
    return entry ? tr_chip_read(entry, out, why) == TR_OK : tr_chip_find(r->catalog, chip, out, why) == TR_OK;
}

static bool same_site(const struct tr_run_site *a, const struct tr_run_site *b)
{
    const struct tr_tier *last_a = &a->system.tier[a->system.tier_count - 1];
    const struct tr_tier *last_b = &b->system.tier[b->system.tier_count - 1];
    return a->system.id == b->system.id && a->system.chip.id == b->system.chip.id &&
           a->system.chips_per_node == b->system.chips_per_node && a->stack.entry == b->stack.entry &&
           a->site.format == b->site.format && last_a->bytes_s.value == last_b->bytes_s.value;
}

static enum tr_status share_site(const struct row *r, struct tr_run_site *made)
{
    struct tr_runs *runs = r->runs;
    for (int i = 0; i < runs->site_count; i++)
        if (same_site(runs->site[i], made)) {
            r->run->where = runs->site[i];
            return TR_OK;
        }
    if (runs->site_count == TR_RUN_SITES_MAX)
        return tr_fail(r->err, TR_BAD_INPUT, "%s: more than %d different systems, stacks and formats", r->name,
                       TR_RUN_SITES_MAX);
    struct tr_run_site *own = malloc(sizeof *own);
    if (!own)
        return tr_fail(r->err, TR_FAILED, "%s: out of memory for its systems", r->name);
    *own = *made;
    struct tr_err why;
    enum tr_status status = tr_site_make(&own->site, &own->system, &own->stack, made->site.format, &why);
    if (status != TR_OK) {
        free(own);
        because(r->run, why.text);
        return TR_OK;
    }
    r->run->where = runs->site[runs->site_count++] = own;
    return TR_OK;
}

/* Of a framework that nobody knows: JAX on a TPU; else the kin of Megatron where a model is cut, of FSDP where it is not. */
static const char *usual_stack(const struct row *r, const struct tr_chip *chip)
{
    bool cut = strtol(cell(r, "tp"), NULL, 10) > 1 || strtol(cell(r, "pp"), NULL, 10) > 1;
    return strcmp(chip->vendor, "Google") == 0 ? "xla" : cut ? "megatron-core" : "fsdp";
}

static enum tr_status read_site(const struct row *r)
{
    struct tr_chip chip;
    struct tr_err why;
    int64_t per_node;
    double network;
    static _Thread_local struct tr_run_site made;
    const struct tr_entry *stack;
    memset(&made, 0, sizeof made);
    enum tr_status status = whole(r, "chips_per_node", &per_node);
    if (status == TR_OK)
        status = number(r, "internode_gbps_per_chip", &network);
    if (status != TR_OK)
        return status;
    if (!find_chip(r, &chip, &why)) {
        because(r->run, why.text);
        return TR_OK;
    }
    status = tr_system_around(r->catalog, &chip, per_node, &made.system, r->err);
    stack = tr_stack_for(r->catalog, cell(r, "framework"));
    if (status == TR_OK && !stack) {
        r->run->assumed = true;
        status = tr_catalog_find(r->catalog, TR_SECTION_STACKS, usual_stack(r, &chip), &stack, r->err);
    }
    if (status == TR_OK)
        status = tr_stack_read(stack, &made.stack, r->err);
    if (status != TR_OK)
        return status;
    if (network > 0 && made.system.tier_count > 1) {
        struct tr_tier *last = &made.system.tier[made.system.tier_count - 1];
        last->bytes_s.value = network * 1e9 / 8;
        last->nic_bytes_s = (struct tr_fact){0}; /* of another network */
    }
    if (*cell(r, "precision") && named_format(cell(r, "precision")) == TR_FORMAT_COUNT)
        unknown_word(r, "precision", "bf16, fp16, fp8, mxfp8, nvfp4 ...");
    made.site.format = format_of(r, &chip);
    return share_site(r, &made);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* Whether modules for further tokens were trained: the work a token that the row prints is nearer with them. */
static int32_t printed_mtp(const struct tr_model_shape *model, int64_t seq_len, double printed)
{
    if (!model->mtp || !(printed > 0))
        return 0;
    double without = tr_shape_flop_per_token(model, seq_len), with = without + tr_shape_mtp_flop_per_token(model, seq_len);
    return printed > (without + with) / 2 ? model->mtp : 0;
}

/* Seconds a step, from whatever of it the row prints: the time, tokens/s, FLOP/s or MFU, or hours of the whole run. */
static double measured_s(const struct row *r, const struct printed *p)
{
    const struct tr_batch *b = &r->run->task.batch;
    double chips = (double)p->chips, tokens = (double)(b->global_batch * b->seq_len);
    if (p->step > 0)
        return p->step;
    if (p->tokens > 0)
        return tokens / (p->tokens * chips);
    if (!r->run->where)
        return 0;
    double peak = r->run->where->system.chip.rate_flop_s[tr_format_info(r->run->where->site.wide)->rate].value;
    double rate = p->tflops > 0 ? p->tflops * 1e12 : p->mfu * peak;
    if (rate > 0)
        return counted_flop(r) / (rate * chips);
    double hours = p->chip_hours > 0 ? p->chip_hours / chips : p->days * 24, steps = tr_notes_steps(cell(r, "notes"));
    double all = tr_notes_tokens(cell(r, "notes"));
    return steps > 0 ? hours * 3600 / steps : all > 0 ? hours * 3600 * tokens / all : 0;
}

static void read_measured(const struct row *r, const struct printed *p, double *time_s)
{
    struct tr_run *run = r->run;
    const struct tr_batch *b = &run->task.batch;
    /* Frameworks print GiB; what a table calls GB is left as that. */
    run->allocated = says(cell(r, "notes"), "allocated");
    run->memory_bytes = p->memory * (says(cell(r, "notes"), "GiB") ? 1073741824. : 1e9);
    if (p->tokens > 0 && b->seq_len > 0 && run->model.layers)
        run->task.mtp = printed_mtp(&run->model, b->seq_len, p->tflops * 1e12 / p->tokens);
    *time_s = run->reason[0] ? p->step : measured_s(r, p);
    if (*time_s > TR_RUN_STEP_MAX_S)
        because(run, "a step that takes more than a year");
    if (!(*time_s > 0))
        because(run, "neither its step time nor its tokens/s are said, nor hours and tokens of the whole run");
}

/* More than a chip has, beyond what GB and GiB are taken for one another, is of another chip, or of several. */
static void read_impossible_memory(const struct row *r)
{
    struct tr_run *run = r->run;
    char printed[TR_QUANTITY_BYTES], has[TR_QUANTITY_BYTES];
    const double most = run->where ? run->where->system.chip.memory_bytes.value : 0;
    if (!run->reason[0] && run->memory_bytes > 1.1 * most)
        snprintf(run->reason, sizeof run->reason, "cannot be: its memory, %s of a chip, is more than the %s that it has",
                 tr_print_quantity(printed, TR_UNIT_BYTES, run->memory_bytes), tr_print_quantity(has, TR_UNIT_BYTES, most));
}

/* A row is wrong whose products alone, at the highest rate of the format that it names (else of any that the chip has), take longer than it says. */
static void read_impossible(const struct row *r, double time_s, double chips)
{
    struct tr_run *run = r->run;
    if (run->reason[0])
        return;
    const struct tr_chip *chip = &run->where->system.chip;
    const bool said = named_format(cell(r, "precision")) != TR_FORMAT_COUNT;
    double most = said ? run->where->site.rates.flop_s[tr_format_info(run->where->site.format)->rate] : 0;
    double tokens = (double)(run->task.batch.global_batch * run->task.batch.seq_len);
    for (int i = 0; i < TR_RATE_COUNT && !said; i++)
        most = fmax(most, tr_fact_or(&chip->rate_flop_s[i], 0));
    double passes = run->task.lora_rank ? 4 : 6; /* FLOP a weight and token: frozen weights have no gradients */
    double rate = passes * tr_shape_params(&run->model).matmul * tokens / (time_s * chips);
    if (rate > most)
        snprintf(run->reason, sizeof run->reason, "cannot be: its products alone would be %.4g TFLOP/s on each chip, which has %.4g", rate / 1e12,
                 most / 1e12);
}

enum tr_status tr_run_read(struct tr_runs *runs, const struct tr_catalog *catalog, const char *name,
                           const struct tr_csv *csv, int64_t row, struct tr_run *out, double *time_s, struct tr_err *err)
{
    struct row r = {name, csv, row, catalog, runs, out, err};
    struct printed printed = {0};
    *out = (struct tr_run){.task.model = &out->model};
    enum tr_status status = read_printed(&r, &printed);
    if (status == TR_OK)
        status = read_model(&r, &printed);
    if (status == TR_OK)
        status = read_site(&r);
    if (status == TR_OK && out->where)
        status = read_layout(&r, &printed);
    if (status == TR_OK)
        read_measured(&r, &printed, time_s);
    if (status == TR_OK) {
        read_impossible(&r, *time_s, (double)printed.chips);
        read_impossible_memory(&r);
    }
    return status;
}

enum tr_status tr_runs_make(struct tr_runs *runs, int64_t count, struct tr_err *err)
{
    *runs = (struct tr_runs){.at = calloc((size_t)count + 1, sizeof *runs->at), .count = count};
    return runs->at ? TR_OK : tr_fail(err, TR_FAILED, "out of memory for %lld runs", (long long)count);
}

void tr_runs_free(struct tr_runs *runs)
{
    for (int i = 0; i < runs->site_count; i++)
        free(runs->site[i]);
    free(runs->at);
    *runs = (struct tr_runs){0};
}
