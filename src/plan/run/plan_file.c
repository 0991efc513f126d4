#include "plan/run/plan_file.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the keys of `plan` ------------------------------------------------------------------------------------------ */

enum kind { TEXT, WHOLE, NUMBER, PAID, FLAG };

#define AT(field) offsetof(struct tr_plan_request, field), sizeof(((struct tr_plan_request *)0)->field)

static const struct key {
    const char *name;
    enum kind kind;
    size_t offset, bytes;
    enum tr_need need;
    double max, min;
} keys[] = {
    {"model", TEXT, AT(model), TR_REQUIRED, 0, 0},
    {"tokens", NUMBER, AT(tokens), TR_OPTIONAL, TR_PLAN_TOKENS_MAX, 1},
    {"target_loss", NUMBER, AT(target_loss), TR_OPTIONAL, TR_PLAN_LOSS_MAX, TR_PLAN_LOSS_MIN},
    {"law", TEXT, AT(law), TR_OPTIONAL, 0, 0},
    {"seq_len", WHOLE, AT(seq_len), TR_OPTIONAL, TR_PLAN_SEQ_MAX, 1},
    {"global_batch", WHOLE, AT(global_batch), TR_OPTIONAL, TR_PLAN_BATCH_MAX, 1},
    {"system", TEXT, AT(system), TR_REQUIRED, 0, 0},
    {"chips", WHOLE, AT(chips), TR_REQUIRED, TR_CHIPS_MAX, 1},
    {"region", TEXT, AT(region), TR_OPTIONAL, 0, 0},
    {"layout", TEXT, AT(layout), TR_REQUIRED, 0, 0},
    {"precision", TEXT, AT(precision), TR_OPTIONAL, 0, 0},
    {"stack", TEXT, AT(stack), TR_OPTIONAL, 0, 0},
    {"reserve_bytes", WHOLE, AT(reserve_bytes), TR_OPTIONAL, 1e15, 0},
    {"background_saves", FLAG, AT(background), TR_OPTIONAL, 0, 0},
    {"no_mtp", FLAG, AT(no_mtp), TR_OPTIONAL, 0, 0},
    {"pay", PAID, AT(commitment), TR_OPTIONAL, 0, 0},
    {"prices_of", TEXT, AT(date), TR_OPTIONAL, 0, 0},
    {"deadline_s", NUMBER, AT(deadline_s), TR_OPTIONAL, TR_PLAN_DEADLINE_MAX_S, TR_PLAN_DEADLINE_MIN_S},
    {"budget_usd", NUMBER, AT(budget_usd), TR_OPTIONAL, TR_PLAN_BUDGET_MAX_USD, TR_PLAN_BUDGET_MIN_USD},
};

enum { KEYS = sizeof keys / sizeof *keys };

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void put_text(struct tr_text *out, const char *key, const char *value)
{
    tr_text_printf(out, "  %s: \"", key); /* a JSON string is one of YAML */
    tr_text_append_json(out, value, strlen(value));
    tr_text_append(out, "\"\n");
}

void tr_plan_file_number(struct tr_text *out, const char *key, double value)
{
    char buf[32];
    if (isfinite(value))
        tr_text_printf(out, "  %s: %s\n", key, tr_print_shortest(value, buf));
}

static void put_key(struct tr_text *out, const struct key *key, const struct tr_plan_request *request)
{
    const char *at = (const char *)request + key->offset;
    int64_t whole;
    double number;
    bool flag;
    switch (key->kind) {
    case TEXT:
        if (*at)
            put_text(out, key->name, at);
        return;
    case WHOLE:
        memcpy(&whole, at, sizeof whole);
        tr_text_printf(out, "  %s: %lld\n", key->name, (long long)whole);
        return;
    case NUMBER:
        memcpy(&number, at, sizeof number);
        if (number != 0)
            tr_plan_file_number(out, key->name, number);
        return;
    case PAID:
        put_text(out, key->name, tr_commitment_name((enum tr_commitment)request->commitment));
        return;
    case FLAG:
    default:
        memcpy(&flag, at, sizeof flag);
        if (flag)
            tr_text_printf(out, "  %s: true\n", key->name);
        return;
    }
}

static void put_searched(struct tr_text *out, const struct tr_plan_search *search)
{
    const struct tr_plan_candidate *chosen = &search->at[search->chosen];
    char layout[TR_LAYOUT_TEXT_BYTES], gain[32];
    tr_text_printf(out, "  searched: {layouts: %lld, too_big: %lld, dominated: %lld}\n", (long long)chosen->legal,
                   (long long)chosen->too_big, (long long)chosen->dominated);
    if (search->limit_count)
        tr_text_append(out, "  limits:\n");
    for (int i = 0; i < search->limit_count; i++)
        tr_text_printf(out, "    - {name: \"%s\", gain: %s, layout: \"%s\"}\n", search->limit[i].name,
                       tr_print_shortest(search->limit[i].gain, gain), tr_layout_print(&search->limit[i].found.layout, layout));
}

void tr_plan_file_begin(const struct tr_plan_request *asked, const char *why, struct tr_text *out)
{
    tr_text_append(
        out,
        "# A plan of trine. `trine explain` takes it apart; `answer` is what was said when it was written.\nplan:\n");
    struct tr_plan_request request = *asked;
    if (request.target_loss > 0)
        request.tokens = 0; /* they follow */
    for (int i = 0; i < KEYS; i++)
        put_key(out, &keys[i], &request);
    tr_text_append(out, "answer:\n");
    tr_text_printf(out, "  feasible: %s\n", why[0] ? "false" : "true");
    if (why[0])
        put_text(out, "why", why);
}

void tr_plan_file_print(const struct tr_plan *p, struct tr_text *out)
{
    const struct tr_job_cost *cost = tr_plan_cost(p);
    tr_plan_file_begin(&p->request, p->why, out);
    tr_plan_file_number(out, "step_s", p->step.time_s);
    tr_plan_file_number(out, "error_80", p->step.error);
    tr_plan_file_number(out, "mfu", p->step.mfu);
    tr_plan_file_number(out, "tokens_s", p->step.tokens_s);
    tr_plan_file_number(out, "memory_bytes", p->step.memory_bytes);
    tr_plan_file_number(out, "capacity_bytes", p->capacity_bytes);
    tr_plan_file_number(out, "wall_s", cost->wall_s);
    tr_plan_file_number(out, "chip_hours", cost->chip_hours);
    tr_plan_file_number(out, "usd", cost->usd);
    tr_plan_file_number(out, "energy_kwh", cost->energy_j / 3.6e6);
    tr_plan_file_number(out, "carbon_g", cost->carbon_g);
    tr_plan_file_number(out, "failures", cost->failures);
    tr_plan_file_number(out, "checkpoint_interval_s", cost->interval_s);
    tr_plan_file_number(out, "goodput", cost->goodput);
    if (p->search.done)
        put_searched(out, &p->search);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static enum tr_status read_string(const struct tr_node *object, const char *key, enum tr_need need, char *to, size_t bytes,
                                  struct tr_err *err)
{
    const char *text = NULL;
    enum tr_status status = tr_doc_string(object, key, need, &text, err);
    if (status != TR_OK || !text)
        return status;
    if (strlen(text) >= bytes)
        return tr_node_fail(tr_doc_find(object, key), err, "longer than %zu characters", bytes - 1);
    snprintf(to, bytes, "%s", text);
    return TR_OK;
}

static enum tr_status read_key(const struct tr_node *plan, const struct key *key, struct tr_plan_request *request,
                               struct tr_err *err)
{
    char *at = (char *)request + key->offset;
    double number = 0;
    int64_t whole = 0;
    bool flag = false;
    enum tr_status status;
    switch (key->kind) {
    case TEXT:
        return read_string(plan, key->name, key->need, at, key->bytes, err);
    case WHOLE:
        status = tr_doc_int(plan, key->name, key->need, (int64_t)key->min, (int64_t)key->max, &whole, err);
        memcpy(at, &whole, sizeof whole);
        return status;
    case NUMBER:
        status = tr_doc_double(plan, key->name, key->need, key->min, key->max, &number, err);
        memcpy(at, &number, sizeof number);
        return status;
    case PAID:
        return tr_doc_enum(plan, key->name, key->need, tr_commitment_names, TR_COMMITMENT_COUNT, &request->commitment,
                           err);
    case FLAG:
    default:
        status = tr_doc_bool(plan, key->name, key->need, &flag, err);
        memcpy(at, &flag, sizeof flag);
        return status;
    }
}

static enum tr_status read_searched(const struct tr_node *answer, struct tr_plan_file *file, struct tr_err *err)
{
    const struct {
        const char *key;
        int64_t *to;
    } of[] = {{"layouts", &file->layouts}, {"too_big", &file->too_big}, {"dominated", &file->dominated}};
    const struct tr_node *searched = NULL;
    enum tr_status status = tr_doc_object(answer, "searched", TR_OPTIONAL, &searched, err);
    for (size_t i = 0; searched && i < sizeof of / sizeof *of && status == TR_OK; i++)
        status = tr_doc_int(searched, of[i].key, TR_REQUIRED, 0, INT64_MAX, of[i].to, err);
    return status;
}

static enum tr_status read_limit(const struct tr_node *node, struct tr_plan_file_limit *limit, struct tr_err *err)
{
    if (node->kind != TR_NODE_OBJECT)
        return tr_node_fail(node, err, "expected a limit: name, gain, layout");
    enum tr_status status = read_string(node, "name", TR_REQUIRED, limit->name, sizeof limit->name, err);
    if (status == TR_OK)
        status = tr_doc_double(node, "gain", TR_REQUIRED, 0, 1, &limit->gain, err);
    return status == TR_OK ? read_string(node, "layout", TR_REQUIRED, limit->layout, sizeof limit->layout, err) : status;
}

static enum tr_status read_limits(const struct tr_node *answer, struct tr_plan_file *file, struct tr_err *err)
{
    const struct tr_node *limits = NULL;
    enum tr_status status = tr_doc_array(answer, "limits", TR_OPTIONAL, 0, TR_LIMITS_MAX, &limits, err);
    for (int64_t i = 0; limits && i < limits->count && status == TR_OK; i++)
        status = read_limit(&limits->children[i], &file->limit[file->limit_count++], err);
    return status;
}

static enum tr_status read_answer(const struct tr_node *root, struct tr_plan_file *file, struct tr_err *err)
{
    const struct {
        const char *key;
        double *to;
    } of[] = {{"step_s", &file->step_s}, {"memory_bytes", &file->memory_bytes}, {"wall_s", &file->wall_s}};
    const struct tr_node *answer = NULL;
    enum tr_status status = tr_doc_object(root, "answer", TR_OPTIONAL, &answer, err);
    if (status != TR_OK || !answer)
        return status;
    for (size_t i = 0; i < sizeof of / sizeof *of && status == TR_OK; i++)
        status = tr_doc_double(answer, of[i].key, TR_OPTIONAL, 0, 1e300, of[i].to, err);
    if (status == TR_OK)
        status = read_searched(answer, file, err);
    return status == TR_OK ? read_limits(answer, file, err) : status;
}

enum tr_status tr_plan_file_from_node(const struct tr_node *root, struct tr_plan_file *out, struct tr_err *err)
{
    static const char *const groups[] = {"plan", "answer"};
    struct tr_plan_file file = {.request = tr_plan_request_usual()};
    const struct tr_node *plan = NULL;
    const char *names[KEYS];
    for (int i = 0; i < KEYS; i++)
        names[i] = keys[i].name;
    if (root->kind != TR_NODE_OBJECT)
        return tr_node_fail(root, err, "expected a plan: a group `plan` with model, system, chips, tokens, layout");
    enum tr_status status = tr_doc_known_keys(root, groups, 2, err);
    if (status == TR_OK)
        status = tr_doc_object(root, "plan", TR_REQUIRED, &plan, err);
    if (status == TR_OK)
        status = tr_doc_known_keys(plan, names, KEYS, err);
    for (int i = 0; i < KEYS && status == TR_OK; i++)
        status = read_key(plan, &keys[i], &file.request, err);
    if (status == TR_OK)
        status = read_answer(root, &file, err);
    if (status == TR_OK)
        *out = file;
    return status;
}

enum tr_status tr_plan_file_read(const char *path, struct tr_plan_file *out, struct tr_err *err)
{
    struct tr_doc *doc = NULL;
    enum tr_status status = tr_doc_read(path, TR_DOC_YAML, &doc, err);
    if (status != TR_OK)
        return status;
    status = tr_plan_file_from_node(tr_doc_root(doc), out, err);
    tr_doc_free(doc);
    return status;
}
