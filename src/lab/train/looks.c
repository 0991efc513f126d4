#include "lab/train/looks.h"

#include "base/doc.h"
#include "base/json.h"
#include "base/num.h"
#include "lab/train/run.h"
#include "silicon/chip/peak.h"

#include <math.h>

void tr_hands_add(struct tr_hands *h, double hand_s, double now_s)
{
    if (h->every_s == 0)
        h->every_s = TR_LOOKS_EVERY_S;
    if (hand_s > 0 && h->count == TR_HANDS_MAX) {
        for (int i = 0; 2 * i < TR_HANDS_MAX; i++)
            h->at[i] = h->at[2 * i];
        h->count /= 2;
        h->every_s *= 2;
    }
    if (hand_s > 0)
        h->at[h->count++] = hand_s;
    h->next_s = now_s + h->every_s;
}

/* Of all ranks. A host has no more than the cores that its ranks may run on together, and what they do is taken from what this
 * rank can do at once, which is less where the launcher bound it to some of them. */
static double peak_of_all(const struct tr_run *run, enum tr_dtype type, double (*measure)(enum tr_isa, enum tr_dtype, int))
{
    int64_t host = tr_min_i64((int64_t)run->machine.threads * run->host_ranks, run->host_cores);
    int here = (int)tr_min_i64(host, tr_cores_usable());
    double each_flop_s = measure(run->isa, type, here) / here;
    return each_flop_s * (double)host * tr_run_ranks(run) / run->host_ranks;
}

void tr_run_measure_peaks(struct tr_run *run)
{
    const struct tr_program *p = &run->program;
    run->peak_flop_s = peak_of_all(run, p->step.dtype, tr_chip_measure_peak_flop_s);
    if (p->step.dtype == TR_BF16 && run->config.optimizer == TR_OPTIMIZER_MUON) /* which multiplies matrices in fp32 */
        run->peak_f32_flop_s = peak_of_all(run, TR_F32, tr_chip_measure_peak_flop_s);
}

static const struct tr_slab *largest_region(const struct tr_run *run)
{
    const struct tr_slab *largest = &run->exec.slab[0];
    for (int region = 1; region < TR_REGION_COUNT; region++)
        if (run->exec.slab[region].bytes > largest->bytes)
            largest = &run->exec.slab[region];
    return largest;
}

static double look_at_memory(const struct tr_run *run)
{
    return run->looks.read_bytes ? tr_chip_look_read_byte_s(run->isa, largest_region(run)->at, run->looks.read_bytes, run->machine.threads) : 0;
}

void tr_run_measure_memory(struct tr_run *run)
{
    const struct tr_slab *largest = largest_region(run);
    int threads = run->machine.threads;
    run->read_bytes = largest->bytes;
    run->read_byte_s = tr_chip_measure_read_byte_s(run->isa, largest->at, largest->bytes, threads);
    for (int level = 0; level < TR_READ_LEVELS; level++)
        if (threads * tr_read_bytes[level] <= largest->bytes)
            run->looks.read_bytes = threads * tr_read_bytes[level];
    run->looks.first_read_byte_s = look_at_memory(run);
}

static bool looks(const struct tr_run *run) { return run->options->peak_flop_s == 0 && tr_run_leads(run); }

/* While other ranks compute they have the core that this one would need for it. */
void tr_run_look_at_hand(struct tr_run *run)
{
    double now_s = tr_clock_s() - run->begin_s;
    if (looks(run) && !run->world && run->machine.threads > 1 && now_s >= run->looks.hands.next_s)
        tr_hands_add(&run->looks.hands, tr_chip_measure_hand_s(), now_s);
}

/* 0.2 s: too much for runs that save each few seconds, and for those that take no longer themselves. Of several ranks only at the end: on
 * the way the others would be measured along with the machine. */
void tr_run_look(struct tr_run *run)
{
    bool ends = run->state.step == run->config.steps;
    double now_s = tr_clock_s() - run->begin_s, since_s = now_s - run->looks.last.after_s;
    if (looks(run) && (ends || !run->world) && since_s >= (ends ? TR_LOOKS_EVERY_S : TR_LOOKS_BETWEEN_S))
        run->looks.last = (struct tr_look){now_s, peak_of_all(run, run->program.step.dtype, tr_chip_look_peak_flop_s), look_at_memory(run), tr_chip_measure_hand_s()};
}

static void put_last(const struct tr_look *look, struct tr_json *json)
{
    tr_json_object(json, "last");
    tr_json_double(json, "after_s", look->after_s);
    tr_json_double(json, "peak_flop_s", look->peak_flop_s);
    tr_json_double(json, "read_byte_s", look->read_byte_s);
    tr_json_double(json, "hand_s", look->hand_s);
    tr_json_end(json);
}

void tr_looks_write(const struct tr_looks *looks, struct tr_json *json)
{
    tr_json_object(json, "looks");
    tr_json_int(json, "read_bytes", looks->read_bytes);
    tr_json_double(json, "first_read_byte_s", looks->first_read_byte_s);
    if (looks->last.after_s > 0)
        put_last(&looks->last, json);
    tr_json_array(json, "hands_s");
    for (int i = 0; i < looks->hands.count; i++)
        tr_json_double(json, NULL, looks->hands.at[i]);
    tr_json_end(json);
    tr_json_end(json);
}

static enum tr_status read_last(const struct tr_node *looks, struct tr_look *out, struct tr_err *err)
{
    const struct tr_node *node = NULL;
    enum tr_status status = tr_doc_object(looks, "last", TR_OPTIONAL, &node, err);
    if (status != TR_OK || !node)
        return status;
    status = tr_doc_double(node, "after_s", TR_REQUIRED, 0, INFINITY, &out->after_s, err);
    if (status == TR_OK)
        status = tr_doc_double(node, "peak_flop_s", TR_REQUIRED, 0, INFINITY, &out->peak_flop_s, err);
    if (status == TR_OK)
        status = tr_doc_double(node, "read_byte_s", TR_REQUIRED, 0, INFINITY, &out->read_byte_s, err);
    return status == TR_OK ? tr_doc_double(node, "hand_s", TR_REQUIRED, 0, INFINITY, &out->hand_s, err) : status;
}

enum tr_status tr_looks_read(const struct tr_node *object, struct tr_looks *out, struct tr_err *err)
{
    const struct tr_node *node = NULL, *hands;
    struct tr_looks looks = {.read_bytes = 0};
    enum tr_status status = tr_doc_object(object, "looks", TR_OPTIONAL, &node, err);
    if (status != TR_OK || !node)
        return status;
    status = tr_doc_int(node, "read_bytes", TR_REQUIRED, 0, INT64_MAX / 2, &looks.read_bytes, err);
    if (status == TR_OK)
        status = tr_doc_double(node, "first_read_byte_s", TR_REQUIRED, 0, INFINITY, &looks.first_read_byte_s, err);
    if (status == TR_OK)
        status = read_last(node, &looks.last, err);
    if (status == TR_OK)
        status = tr_doc_array(node, "hands_s", TR_REQUIRED, 0, TR_HANDS_MAX, &hands, err);
    for (; status == TR_OK && looks.hands.count < hands->count; looks.hands.count++)
        status = tr_node_double(&hands->children[looks.hands.count], 0, INFINITY, &looks.hands.at[looks.hands.count], err);
    if (status == TR_OK)
        *out = looks;
    return status;
}
