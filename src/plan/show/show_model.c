/* Models: those of the catalog, presets of the trainer, and anybody's config.json. */
#include "plan/shape/shape.h"
#include "plan/show/inside.h"

#include <string.h>

static const char *text_of(const struct tr_entry *entry, const char *key)
{
    const struct tr_node *node = entry ? tr_entry_node(entry, key, NULL) : NULL;
    return node && node->kind == TR_NODE_STRING ? node->string : NULL;
}

static const struct tr_source *source_of(const struct tr_entry *entry)
{
    const char *id = text_of(entry, "source");
    for (int i = 0; id && i < tr_catalog_source_count(entry->catalog); i++) {
        const struct tr_source *source = tr_catalog_source(entry->catalog, i);
        if (strcmp(source->id, id) == 0)
            return source;
    }
    return NULL;
}

/* --- the list --- */

static void write_row(struct tr_table *table, const struct tr_model_shape *m, const struct tr_entry *entry)
{
    struct tr_shape_params params = tr_shape_params(m);
    const struct tr_source *source = source_of(entry);
    char count[TR_QUANTITY_BYTES];
    tr_table_cell(table, "%s", m->name);
    tr_table_cell(table, "%s", tr_print_count(count, (int64_t)params.total));
    tr_table_cell(table, "%s", tr_print_count(count, (int64_t)params.active));
    tr_table_cell(table, "%d", m->layers);
    tr_table_cell(table, "%lld", (long long)m->width);
    tr_table_cell(table, "%lld", (long long)m->heads);
    tr_table_cell(table, "%lld", (long long)m->kv_heads);
    if (m->experts)
        tr_table_cell(table, "%lld of %lld", (long long)m->top_k, (long long)m->experts);
    else
        tr_table_cell(table, "%s", "");
    tr_table_cell(table, "%lld", (long long)m->vocab);
    tr_table_cell(table, "%lld", (long long)m->positions);
    tr_table_cell(table, "%s", source ? source->date : "");
    tr_table_cell(table, "%s", text_of(entry, "name"));
}

static void write_json(struct tr_json *json, const struct tr_model_shape *m, const struct tr_entry *entry)
{
    struct tr_shape_params params = tr_shape_params(m);
    const struct tr_source *source = source_of(entry);
    const struct {
        const char *key;
        int64_t value;
    } sizes[] = {
        {"layers", m->layers}, {"width", m->width}, {"heads", m->heads}, {"kv_heads", m->kv_heads},
        {"head_dim", m->head_dim}, {"value_dim", m->value_dim}, {"ffn", m->ffn}, {"vocab", m->vocab},
        {"positions", m->positions}, {"experts", m->experts}, {"top_k", m->top_k}, {"expert_groups", m->expert_groups},
        {"top_groups", m->top_groups}, {"expert_ffn", m->expert_ffn},
        {"shared_ffn", m->shared_ffn}, {"dense_layers", m->dense_layers}, {"kv_rank", m->kv_rank},
        {"q_rank", m->q_rank}, {"window", m->window}, {"window_every", m->window_every},
    };
    tr_json_object(json, NULL);
    tr_json_string(json, "id", m->name);
    tr_json_string(json, "name", text_of(entry, "name"));
    if (entry)
        tr_aliases_json(entry, json);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        tr_json_int(json, sizes[i].key, sizes[i].value);
    tr_json_double(json, "parameters", params.total);
    tr_json_double(json, "parameters_active", params.active);
    tr_json_double(json, "parameters_matmul", params.matmul);
    tr_json_double(json, "parameters_experts", params.expert);
    tr_json_int(json, "mtp", m->mtp);
    tr_json_double(json, "parameters_mtp", tr_shape_mtp_params(m));
    tr_json_double(json, "kv_elements_token", tr_shape_kv_elements(m));
    tr_json_double(json, "train_flop_token", tr_shape_flop_per_token(m, m->positions));
    tr_json_string(json, "source", source ? source->id : NULL);
    tr_json_string(json, "date", source ? source->date : NULL);
    tr_json_end(json);
}

static enum tr_status list_model(struct tr_showing *s, const struct tr_entry *entry, struct tr_table *table)
{
    struct tr_model_shape shape;
    enum tr_status status = tr_shape_read(entry, &shape, s->err);
    if (status == TR_OK && table)
        write_row(table, &shape, entry);
    else if (status == TR_OK)
        write_json(&s->json, &shape, entry);
    return status;
}

enum tr_status tr_show_models(struct tr_showing *s)
{
    static const struct tr_listing listing = {
        TR_SECTION_MODELS,
        {{"model", TR_LEFT}, {"parameters", TR_RIGHT}, {"active", TR_RIGHT}, {"layers", TR_RIGHT}, {"width", TR_RIGHT},
         {"heads", TR_RIGHT}, {"kv", TR_RIGHT}, {"experts", TR_RIGHT}, {"vocabulary", TR_RIGHT}, {"positions", TR_RIGHT},
         {"date", TR_LEFT}, {"name", TR_LEFT}},
        list_model,
        "\n`trine show model NAME`: its shape, work and memory; NAME may be a config.json too.\n"};
    return tr_show_list(s, &listing);
}

/* --- one --- */

static void write_features(const struct tr_model_shape *m, struct tr_text *out)
{
    tr_text_printf(out, "features    %s, %s, %s%s%s%s%s\n", m->biased ? "LayerNorm and biases" : "RMSNorm",
                   m->rope ? "rotary positions" : m->learned ? "learned positions" : "no table of positions",
                   m->gated ? "gated feed-forward" : "plain feed-forward", m->qkv_bias ? ", q/k/v biases" : "",
                   m->expert_bias ? ", biases of experts" : "",
                   m->qk_norm ? ", query and key norms" : "", m->tied ? ", head tied to the embedding" : "");
    if (m->kv_rank)
        tr_text_printf(out, "attention   latent: %lld for keys and values, %lld for queries, %lld of %lld with positions\n",
                       (long long)m->kv_rank, (long long)m->q_rank, (long long)m->rope_dim, (long long)m->head_dim);
    if (m->window)
        tr_text_printf(out, "window      %lld keys in %d of %d layers\n", (long long)m->window, tr_shape_window_layers(m),
                       m->layers);
    if (m->experts)
        tr_text_printf(out, "experts     %lld of %lld, each %lld wide, in %d of %d layers; shared %lld\n", (long long)m->top_k,
                       (long long)m->experts, (long long)m->expert_ffn, tr_shape_moe_layers(m), m->layers,
                       (long long)m->shared_ffn);
    if (m->expert_groups)
        tr_text_printf(out, "            a token's in %lld of %lld groups\n", (long long)m->top_groups, (long long)m->expert_groups);
}

static void write_work(const struct tr_model_shape *m, struct tr_text *out)
{
    static const int64_t lengths[] = {2048, 8192, 32768, 131072};
    struct tr_shape_params params = tr_shape_params(m);
    char count[TR_QUANTITY_BYTES], bytes[TR_QUANTITY_BYTES];
    tr_text_printf(out, "parameters  %s", tr_print_count(count, (int64_t)params.total));
    if (m->experts)
        tr_text_printf(out, ", %s active", tr_print_count(count, (int64_t)params.active));
    tr_text_printf(out, "; %s multiply each token\n", tr_print_count(count, (int64_t)params.matmul));
    if (m->mtp)
        tr_text_printf(out, "            %s more in %d module%s for further tokens (MTP), which training has beside them\n",
                       tr_print_count(count, (int64_t)tr_shape_mtp_params(m)), m->mtp, m->mtp == 1 ? "" : "s");
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        if (lengths[i] <= m->positions)
            tr_text_printf(out, "training    %s a token in sequences of %lld\n",
                           tr_print_quantity(count, TR_UNIT_FLOP, tr_shape_flop_per_token(m, lengths[i])),
                           (long long)lengths[i]);
    tr_text_printf(out, "cache       %s elements a token", tr_print_count(count, (int64_t)tr_shape_kv_elements(m)));
    tr_text_printf(out, ", %s in 16 bits\n", tr_print_bytes(bytes, (int64_t)(2 * tr_shape_kv_elements(m))));
    tr_text_printf(out, "weights     %s in 16 bits\n", tr_print_bytes(bytes, (int64_t)(2 * params.total)));
}

enum tr_status tr_show_model_shape(struct tr_showing *s)
{
    struct tr_model_shape shape;
    enum tr_status status = tr_shape_find(s->catalog, s->name, &shape, s->err);
    if (status != TR_OK)
        return status;
    const struct tr_entry *entry = tr_catalog_look(s->catalog, TR_SECTION_MODELS, s->name);
    const struct tr_source *source = source_of(entry);
    if (s->options->json) {
        write_json(&s->json, &shape, entry);
        return TR_OK;
    }
    if (entry)
        tr_text_printf(s->out, "%s (%s)\n", text_of(entry, "name"), shape.name);
    else
        tr_text_printf(s->out, "%s\n", shape.name);
    if (entry)
        tr_aliases_text(entry, s->out);
    tr_text_printf(s->out, "shape       %d layers of width %lld, %lld heads of %lld (%lld for keys and values)\n", shape.layers,
                   (long long)shape.width, (long long)shape.heads, (long long)shape.head_dim, (long long)shape.kv_heads);
    tr_text_printf(s->out, "            feed-forward %lld, vocabulary %lld, %lld positions\n", (long long)shape.ffn,
                   (long long)shape.vocab, (long long)shape.positions);
    write_features(&shape, s->out);
    write_work(&shape, s->out);
    if (source)
        tr_text_printf(s->out, "source      %s; %s (%s, %s)\n", source->title, source->where, source->date,
                       tr_grade_name(source->grade));
    return TR_OK;
}
