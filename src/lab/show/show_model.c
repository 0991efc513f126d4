#include "base/json.h"
#include "base/quantity.h"
#include "base/table.h"
#include "lab/model/program.h"
#include "lab/show/show.h"

#include <string.h>

/* What is said about a model beyond its config. */
struct facts {
    const struct tr_model_config *model;
    struct tr_weights weights;
    int64_t seq_len, batch;
    int64_t embedding;            /* parameters of the tables that are looked up only */
    int64_t matmul;               /* parameters that multiply */
    int64_t train_flop;           /* a token, mean over a sequence */
    int64_t decode_flop;          /* the last token of a sequence with a KV cache */
    int64_t kv_elements;          /* keys and values of one token */
    bool has_plan;
    int64_t plan[TR_REGION_COUNT], plan_bytes;
    struct tr_err no_plan;        /* why there is none */
};

static int64_t embedding_parameters(const struct tr_weights *weights, const struct tr_model_config *model)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < weights->count; i++) {
        enum tr_weight_role role = weights->weight[i].role;
        if ((role == TR_W_WTE && !model->tied) || role == TR_W_WPE)
            sum += weights->weight[i].count;
    }
    return sum;
}

/* The trainer's own program on this machine, whole batch at a time. */
static void plan_training(struct facts *facts)
{
    struct tr_program program;
    struct tr_step_config step = {.dtype = TR_F32, .batch = facts->batch, .seq_len = facts->seq_len,
                                  .micro_batch = facts->batch, .widths = {1, 1, 1, 1},
                                  .recompute = TR_RECOMPUTE_ELEMENTWISE};
    struct tr_machine machine = {.kernels = tr_kernel_set(TR_ISA_REF), .threads = 1};
    enum tr_isa isa;
    if (tr_isa_choose(&isa, &facts->no_plan) != TR_OK)
        return;
    machine.kernels = tr_kernel_set(isa);
    if (tr_program_train(&program, facts->model, &step, machine, &facts->no_plan) != TR_OK)
        return;
    memcpy(facts->plan, program.region_bytes, sizeof facts->plan);
    facts->plan_bytes = tr_program_memory_bytes(&program);
    facts->has_plan = true;
    tr_program_free(&program);
}

static enum tr_status gather(struct facts *facts, const struct tr_model_config *model,
                             const struct tr_show_options *options, struct tr_err *err)
{
    *facts = (struct facts){.model = model, .seq_len = options->seq_len, .batch = options->batch};
    if (facts->seq_len == 0)
        facts->seq_len = model->positions;
    if (facts->seq_len > model->positions)
        return tr_fail(err, TR_BAD_INPUT, "--seq-len %lld is more than the %lld positions of %s",
                       (long long)facts->seq_len, (long long)model->positions, model->name);
    enum tr_status status = tr_weights_make(&facts->weights, model, err);
    if (status != TR_OK)
        return status;
    facts->embedding = embedding_parameters(&facts->weights, model);
    facts->matmul = tr_model_matmul_params(model);
    facts->train_flop = tr_model_flop_per_token(model, facts->seq_len);
    facts->decode_flop = 2 * facts->matmul + 4 * (int64_t)model->layers * model->heads * model->head_dim * facts->seq_len;
    facts->kv_elements = 2 * (int64_t)model->layers * model->kv_heads * model->head_dim;
    plan_training(facts);
    return TR_OK;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

static void write_shape(const struct tr_model_config *m, struct tr_text *out)
{
    tr_text_printf(out, "shape       %d layers of width %lld, %d heads of %d", m->layers, (long long)m->width, m->heads,
                   m->head_dim);
    if (m->kv_heads != m->heads)
        tr_text_printf(out, " (%d for keys and values)", m->kv_heads);
    tr_text_printf(out, ", feed-forward %lld, vocabulary %lld, %lld positions\n", (long long)m->ffn,
                   (long long)m->vocab, (long long)m->positions);
    tr_text_printf(out, "features    ");
    if (m->family == TR_GPT2)
        tr_text_printf(out, "LayerNorm, learned positions, GELU, biases");
    else
        tr_text_printf(out, "RMSNorm, RoPE (theta %g%s), SwiGLU%s%s", m->rope_theta,
                       m->rope_scaling.factor > 0 ? ", scaled as Llama 3.1" : "", m->qkv_bias ? ", q/k/v biases" : "",
                       m->qk_norm ? ", query and key norms" : "");
    tr_text_printf(out, ", %s\n", m->tied ? "head tied to the embedding" : "head apart from the embedding");
}

/* model.layers.0.mlp.up_proj.weight -> model.layers.*.mlp.up_proj.weight */
static void pattern_of(const char *name, char pattern[96])
{
    const char *zero = strstr(name, ".0.");
    snprintf(pattern, 96, "%s", name);
    if (zero)
        pattern[zero - name + 1] = '*';
}

static void write_row(struct tr_table *table, const struct facts *facts, const struct tr_weight *w, const char *name,
                      int64_t times)
{
    char count[TR_QUANTITY_BYTES];
    int64_t all = times * w->count;
    tr_table_cell(table, "%s", name);
    if (w->rank == 2)
        tr_table_cell(table, "%lld x %lld", (long long)w->dim[0], (long long)w->dim[1]);
    else
        tr_table_cell(table, "%lld", (long long)w->dim[0]);
    if (times > 1)
        tr_table_cell(table, "%lld", (long long)times);
    else
        tr_table_cell(table, "%s", "");
    tr_table_cell(table, "%s", tr_print_count(count, all));
    tr_table_cell(table, "%.1f %%", 100.0 * (double)all / (double)facts->weights.element_count);
}

static void write_tensors(const struct facts *facts, bool all, struct tr_text *out)
{
    struct tr_table table = {0};
    char pattern[96], count[TR_QUANTITY_BYTES];
    tr_table_column(&table, "tensor", TR_LEFT);
    tr_table_column(&table, "shape", TR_RIGHT);
    tr_table_column(&table, "times", TR_RIGHT);
    tr_table_column(&table, "parameters", TR_RIGHT);
    tr_table_column(&table, "share", TR_RIGHT);
    for (int32_t i = 0; i < facts->weights.count; i++) {
        const struct tr_weight *w = &facts->weights.weight[i];
        bool grouped = !all && w->layer >= 0;
        if (grouped && w->layer > 0)
            continue;
        pattern_of(w->name, pattern);
        write_row(&table, facts, w, grouped ? pattern : w->name, grouped ? facts->model->layers : 1);
    }
    tr_table_rule(&table);
    tr_table_cell(&table, "%d tensors", facts->weights.count);
    tr_table_cell(&table, "%s", "");
    tr_table_cell(&table, "%s", "");
    tr_table_cell(&table, "%s", tr_print_count(count, facts->weights.element_count));
    tr_table_cell(&table, "%s", "");
    tr_table_text(&table, out);
    tr_table_free(&table);
}

static void write_work(const struct facts *facts, struct tr_text *out)
{
    char a[TR_QUANTITY_BYTES], b[TR_QUANTITY_BYTES], c[TR_QUANTITY_BYTES];
    tr_text_printf(out, "work        training %s a token of %lld (6 x %s that multiply + causal attention)\n",
                   tr_print_quantity(a, TR_UNIT_FLOP, (double)facts->train_flop), (long long)facts->seq_len,
                   tr_print_count(b, facts->matmul));
    tr_text_printf(out, "            reading a prompt %s a token, writing token %lld %s\n",
                   tr_print_quantity(a, TR_UNIT_FLOP, (double)facts->train_flop / 3), (long long)facts->seq_len,
                   tr_print_quantity(c, TR_UNIT_FLOP, (double)facts->decode_flop));
}

static void write_memory(const struct facts *facts, struct tr_text *out)
{
    char a[TR_QUANTITY_BYTES], b[TR_QUANTITY_BYTES], c[TR_QUANTITY_BYTES], d[TR_QUANTITY_BYTES];
    int64_t n = facts->weights.element_count;
    tr_text_printf(out, "memory      weights %s in f32, %s in bf16; keys and values %s a token in f32, %s in bf16\n",
                   tr_print_bytes(a, 4 * n), tr_print_bytes(b, 2 * n), tr_print_bytes(c, 4 * facts->kv_elements),
                   tr_print_bytes(d, 2 * facts->kv_elements));
    if (!facts->has_plan) {
        tr_text_printf(out, "            no plan for training: %s\n", facts->no_plan.text);
        return;
    }
    tr_text_printf(out, "            training %lld x %lld tokens at a time on one machine, f32, one thread: %s\n",
                   (long long)facts->batch, (long long)facts->seq_len, tr_print_bytes(a, facts->plan_bytes));
    tr_text_printf(out, "            ");
    for (int i = 0, said = 0; i < TR_REGION_COUNT; i++)
        if (facts->plan[i] > 0)
            tr_text_printf(out, "%s%s %s", said++ ? ", " : "", tr_region_name(i), tr_print_bytes(a, facts->plan[i]));
    tr_text_char(out, '\n');
}

static void write_text(const struct facts *facts, bool all, struct tr_text *out)
{
    char a[TR_QUANTITY_BYTES], b[TR_QUANTITY_BYTES];
    const struct tr_model_config *m = facts->model;
    tr_text_printf(out, "model       %s (%s family), %s parameters", m->name, m->family == TR_GPT2 ? "GPT-2" : "Llama",
                   tr_print_count(a, facts->weights.element_count));
    if (facts->embedding)
        tr_text_printf(out, ", %s without tables that are only looked up",
                       tr_print_count(b, facts->weights.element_count - facts->embedding));
    tr_text_char(out, '\n');
    write_shape(m, out);
    write_work(facts, out);
    write_memory(facts, out);
    tr_text_char(out, '\n');
    write_tensors(facts, all, out);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void write_json(const struct facts *facts, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "model", facts->model->name);
    tr_json_int(&json, "parameters", facts->weights.element_count);
    tr_json_int(&json, "matmul_parameters", facts->matmul);
    tr_json_int(&json, "seq_len", facts->seq_len);
    tr_json_int(&json, "batch", facts->batch);
    tr_json_int(&json, "train_flop_per_token", facts->train_flop);
    tr_json_int(&json, "decode_flop_last_token", facts->decode_flop);
    tr_json_int(&json, "kv_elements_per_token", facts->kv_elements);
    if (facts->has_plan)
        tr_json_int(&json, "train_memory_bytes", facts->plan_bytes);
    tr_json_array(&json, "tensors");
    for (int32_t i = 0; i < facts->weights.count; i++) {
        const struct tr_weight *w = &facts->weights.weight[i];
        tr_json_object(&json, NULL);
        tr_json_string(&json, "name", w->name);
        tr_json_array(&json, "shape");
        for (int d = 0; d < w->rank; d++)
            tr_json_int(&json, NULL, w->dim[d]);
        tr_json_end(&json);
        tr_json_end(&json);
    }
    tr_json_end(&json);
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

enum tr_status tr_show_model(const struct tr_model_config *model, const struct tr_show_options *options,
                             struct tr_text *out, struct tr_err *err)
{
    struct facts facts;
    enum tr_status status = gather(&facts, model, options, err);
    if (status != TR_OK)
        return status;
    if (options->json)
        write_json(&facts, out);
    else
        write_text(&facts, options->all, out);
    tr_weights_free(&facts.weights);
    return tr_text_failed(out, err) ? TR_FAILED : TR_OK;
}
