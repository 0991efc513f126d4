/* The memory of the heaviest stage: weights, kept tensors, buffers. */
#include "plan/explain/inside.h"
#include "plan/step/stage.h"

#include "base/quantity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parts {
    struct tr_explain *e;
    const struct tr_plan *p;
    int term[TR_MEM_COUNT];
    double in_flight;
    const char *whose; /* before the names of blocks */
    struct tr_blocks blocks;
    struct tr_split split;
    struct tr_split_class classes[TR_LAYERS_MAX];
    struct tr_load loads[TR_LAYERS_MAX];
    struct tr_stages stages;
    struct tr_held held;
    struct tr_load load; /* of the heaviest stage */
    const struct tr_split_class *class;
};

/* What there is of each weight: itself, its gradient, what the optimiser keeps. */
enum { BY_WEIGHT = TR_MEM_OPTIMIZER + 1 };
struct by_weight {
    const char *formula, *source;
    enum tr_grade grade;
    double dense_bytes, expert_bytes;
};

static struct by_weight by_weight(const struct parts *s, int mem)
{
    const struct tr_stack *stack = s->p->site.stack;
    const struct tr_held *held = &s->held;
    if (mem == TR_MEM_WEIGHTS)
        return (struct by_weight){"weights x 2 bytes, a share of them with zero 3", "16 bits each (plan/step/memory.c)",
                                  TR_GRADE_STATED, held->weight, held->weight_expert};
    if (mem == TR_MEM_GRADIENTS)
        return (struct by_weight){"weights x bytes.gradient of the stack, a share of them with zero 2 and 3",
                                  tr_fact_source(&stack->grad_bytes), stack->grad_bytes.grade, held->gradient,
                                  held->gradient_expert};
    return (struct by_weight){"weights x bytes.optimizer of the stack, a share of them with zero 1 to 3",
                              tr_fact_source(&stack->master_bytes), stack->master_bytes.grade, held->optimizer,
                              held->optimizer_expert};
}

/* Dense ones and those of experts apart: ZeRO shares them out among different ranks. */
static void add_weights(struct parts *s, int mem)
{
    const struct by_weight w = by_weight(s, mem);
    const struct {
        const char *name;
        double count, bytes;
    } of[] = {{"dense weights", s->load.dense, w.dense_bytes}, {"weights of experts", s->load.expert, w.expert_bytes}};
    char count[TR_QUANTITY_BYTES], inputs[TR_NUMBER_WORDS_BYTES] = "";
    for (int i = 0; i < 2; i++) {
        if (of[i].count <= 0)
            continue;
        int at = tr_number_add(s->e, s->term[mem], TR_UNIT_BYTES, of[i].count * of[i].bytes, "%s: %s",
                               tr_mem_name((enum tr_mem)mem), of[i].name);
        tr_number_words(s->e, at, w.formula, w.grade, w.source, "%s weights on a chip of the stage x %.4g bytes, zero %d",
                        tr_print_quantity(count, TR_UNIT_COUNT, of[i].count), of[i].bytes, s->p->layout.zero);
        size_t used = strlen(inputs);
        snprintf(inputs + used, sizeof inputs - used, "%s%s %s x %.4g bytes", used ? " + " : "", count, of[i].name, of[i].bytes);
    }
    tr_number_words(s->e, s->term[mem], w.formula, TR_GRADE_NONE, w.source, "%s", inputs);
}

/* Whether the block keeps it, and how many layers of the kind do. Of modules for further tokens nothing is computed again. */
static double keepers(const struct parts *s, const struct tr_block *block, const struct tr_stack_kept *kept,
                      double count, double again)
{
    bool layer = block->kind != TR_BLOCK_EMBED && block->kind != TR_BLOCK_HEAD && !s->whose[0];
    if (!tr_block_has_part(block->kind, kept->part) || !tr_block_when(block, s->p->site.stack, s->p->site.format, kept->when))
        return 0;
    if (layer && s->split.rerun == TR_RERUN_SELECTIVE && tr_stack_kept_again(s->p->site.stack, kept))
        return 0;
    return layer && s->split.rerun == TR_RERUN_FULL ? count - again : count;
}

static void add_kept(struct parts *s, int parent, const struct tr_block *block, double count, double again,
                     double in_flight)
{
    const struct tr_stack *stack = s->p->site.stack;
    char elements[TR_QUANTITY_BYTES], bytes[TR_QUANTITY_BYTES];
    for (int i = 0; i < stack->kept_count; i++) {
        const struct tr_stack_kept *kept = &stack->kept[i];
        double layers = keepers(s, block, kept, count, again), of = tr_extent_elements(block, kept->over);
        double value = in_flight * layers * kept->bytes.value * of;
        if (value <= 0)
            continue;
        int at =
            tr_number_add(s->e, parent, TR_UNIT_BYTES, value, "%s%s: %s", s->whose, tr_block_kind_name(block->kind), kept->name);
        tr_number_words(s->e, at, "microbatches in flight x blocks x elements x bytes", kept->bytes.grade,
                        tr_fact_source(&kept->bytes), "%.4g x %.4g x %s (%s) x %g bytes", in_flight, layers,
                        tr_print_quantity(elements, TR_UNIT_COUNT, of), tr_extent_name(kept->over), kept->bytes.value);
    }
    if (again <= 0 || s->split.rerun != TR_RERUN_FULL)
        return;
    double full = tr_block_kept(block, stack, s->p->site.format).full;
    int at = tr_number_add(s->e, parent, TR_UNIT_BYTES, in_flight * again * full, "%s: inputs of layers computed again",
                           tr_block_kind_name(block->kind));
    tr_number_words(s->e, at, "microbatches in flight x layers x the input of one", TR_GRADE_STATED,
                    "plan/lower/block.c", "%.4g x %.0f x %s", in_flight, again,
                    tr_print_quantity(bytes, TR_UNIT_BYTES, full));
}

/* A stage's share of the modules for further tokens. */
static void add_further(struct parts *s)
{
    const struct tr_plan *p = s->p;
    int kind[TR_LAYER_KINDS_MAX], count = tr_further_kinds(&s->blocks.kinds, p->model.layers, kind);
    struct tr_block block;
    if (s->split.further <= 0)
        return;
    s->whose = "further token's ";
    for (int i = 0; i < count; i++) {
        int k = kind[i];
        tr_block_make(&block, &p->model, s->blocks.kinds.kind[k], s->blocks.kinds.window[k], &p->layout, &p->task.batch);
        add_kept(s, s->term[TR_MEM_ACTIVATIONS], &block, s->split.further, 0, s->in_flight);
    }
    tr_block_make(&block, &p->model, TR_BLOCK_HEAD, 0, &p->layout, &p->task.batch);
    add_kept(s, s->term[TR_MEM_ACTIVATIONS], &block, s->split.further, 0, s->in_flight);
    s->whose = "";
}

static void add_activations(struct parts *s)
{
    const struct tr_plan *p = s->p;
    int term = s->term[TR_MEM_ACTIVATIONS];
    struct tr_block block;
    for (int k = 0; k < s->blocks.kinds.count; k++) {
        tr_block_make(&block, &p->model, s->blocks.kinds.kind[k], s->blocks.kinds.window[k], &p->layout,
                      &p->task.batch);
        block.frozen = p->task.lora_rank > 0;
        if (s->class->count[k])
            add_kept(s, term, &block, s->class->count[k], s->class->again[k], s->in_flight);
    }
    if (s->class->embed) {
        tr_block_make(&block, &p->model, TR_BLOCK_EMBED, 0, &p->layout, &p->task.batch);
        add_kept(s, term, &block, 1, 0, s->in_flight);
    }
    add_further(s);
    if (s->load.transient > 0) {
        int at = tr_number_add(s->e, term, TR_UNIT_BYTES, s->load.transient, "the block that is computed again");
        tr_number_words(s->e, at, "what a block keeps without recomputation, less what it keeps with it",
                        TR_GRADE_STATED, "plan/step/stage.c", "recompute %s", tr_rerun_name(p->layout.rerun));
    }
    if (s->class->head) {
        tr_block_make(&block, &p->model, TR_BLOCK_HEAD, 0, &p->layout, &p->task.batch);
        add_kept(s, s->term[TR_MEM_LOGITS], &block, 1, 0, 1);
    }
}

static void add_buffers(struct parts *s)
{
    const struct tr_stack *stack = s->p->site.stack;
    int term = s->term[TR_MEM_BUFFERS];
    char weights[TR_QUANTITY_BYTES];
    if (s->held.gathered > 0) {
        int at = tr_number_add(s->e, term, TR_UNIT_BYTES, tr_gathered_bytes(&s->held, &s->load), "gathered layers");
        tr_number_words(s->e, at, "2 layers x 2 bytes x weights of the largest", TR_GRADE_STATED,
                        "zero 3: the layer that computes and the next one", "%s weights",
                        tr_print_quantity(weights, TR_UNIT_COUNT, s->load.largest[s->held.gathers]));
    }
    if (s->held.alone > 0) {
        int one = tr_number_add(s->e, term, TR_UNIT_BYTES, s->held.alone * s->load.matrix, "the gradient computed last");
        tr_number_words(s->e, one, "bytes.alone x weights of the largest matrix", stack->alone_bytes.grade,
                        tr_fact_source(&stack->alone_bytes), "%s weights",
                        tr_print_quantity(weights, TR_UNIT_COUNT, s->load.matrix));
    }
    int at = tr_number_add(s->e, term, TR_UNIT_BYTES, s->held.buffers, "buffers of communicators");
    tr_number_words(s->e, at, "communicators x bytes.communicator", stack->comm_bytes.grade,
                    tr_fact_source(&stack->comm_bytes), "%.0f communicators",
                    s->held.buffers / stack->comm_bytes.value);
}

static const char *kept_source(const struct tr_stack *stack)
{
    return stack->kept_count ? tr_fact_source(&stack->kept[0].bytes) : "";
}

/* Of the terms themselves; what is below them has words of its own, and a share of them is worth what they are. */
static void word_terms(struct parts *s)
{
    const struct tr_stack *stack = s->p->site.stack;
    char bytes[TR_QUANTITY_BYTES];
    tr_number_words(s->e, s->term[TR_MEM_ACTIVATIONS],
                    "microbatches in flight x what the stage's blocks keep of one, + the block that is computed again",
                    TR_GRADE_NONE, kept_source(stack), "%.4g in flight x %s a microbatch", s->in_flight,
                    tr_print_quantity(bytes, TR_UNIT_BYTES, s->load.kept));
    tr_number_words(s->e, s->term[TR_MEM_LOGITS], "what the head keeps of one microbatch", TR_GRADE_NONE, kept_source(stack),
                    "the stage has %s", s->class->head ? "the head" : "no head");
    tr_number_words(s->e, s->term[TR_MEM_BUFFERS], "gathered layers + the gradient computed last + buffers of communicators",
                    TR_GRADE_NONE, tr_fact_source(&stack->comm_bytes), "zero %d", s->p->layout.zero);
    tr_number_words(s->e, s->term[TR_MEM_CONTEXT], "bytes.context of the stack", stack->context_bytes.grade,
                    tr_fact_source(&stack->context_bytes), "the device's context and libraries");
    tr_number_words(s->e, s->term[TR_MEM_FRAGMENTATION],
                    "bytes.fragmentation of the stack x (weights + gradients + optimiser + activations + logits)",
                    stack->fragmentation.grade, tr_fact_source(&stack->fragmentation), "%.3g %%",
                    100 * stack->fragmentation.value);
    tr_number_grade(s->e);
    for (int i = 0; i < TR_MEM_BUFFERS; i++)
        tr_number_by(s->e, s->term[TR_MEM_FRAGMENTATION], s->e->at[s->term[i]].grade);
}

static void find_heaviest(struct parts *s)
{
    int32_t heaviest = s->p->step.heaviest_stage;
    for (int i = 0; i < s->stages.load_count; i++)
        if (s->stages.load[i].index == heaviest)
            s->load = s->stages.load[i];
    for (int c = 0; c < s->split.classes; c++)
        if (heaviest >= s->split.of[c].first && heaviest < s->split.of[c].first + s->split.of[c].stages)
            s->class = &s->split.of[c];
    TR_ASSERT(s->class);
    s->in_flight =
        tr_layout_in_flight(&s->p->layout, tr_layout_micro_count(&s->p->layout, &s->p->task.batch), heaviest);
}

static void add_capacity(struct parts *s)
{
    const struct tr_plan *p = s->p;
    const struct tr_chip *chip = &p->system.chip;
    bool seen = tr_known(&chip->memory_visible_bytes);
    int at = tr_number_ratio(s->e, TR_UNIT_BYTES, "", p->capacity_bytes, "memory that a chip has", "of the chip - the reserve", "");
    tr_number_fact(s->e, at, TR_UNIT_BYTES, "memory of a chip", seen ? "as programs see it" : "of the data sheet",
                   seen ? &chip->memory_visible_bytes : &chip->memory_bytes);
    tr_number_factor(s->e, at, TR_UNIT_BYTES, "", (double)p->request.reserve_bytes, "reserve", "kept free", TR_GRADE_STATED, "asked for");
    at = tr_number_ratio(s->e, TR_UNIT_RATIO, "", p->step.memory_error, "error of the memory",
                         "half the width of the interval that four of five runs are in", "");
    tr_number_fact(s->e, at, TR_UNIT_RATIO, "memory_error of the stack", "of runs that print what they took",
                   &p->site.stack->memory_error);
}

void tr_explain_memory(struct tr_explain *e)
{
    struct parts *s = calloc(1, sizeof *s);
    if (!s) {
        e->failed = true;
        return;
    }
    const struct tr_plan *p = e->plan;
    s->e = e, s->p = p, s->whose = "";
    tr_blocks_make(&s->blocks, &p->site, &p->task, &p->layout);
    tr_split_make(&s->split, s->classes, &p->model, &s->blocks.kinds, &p->layout, p->task.mtp);
    tr_stages_make(&s->stages, s->loads, &s->blocks, &s->split);
    tr_held_make(&s->held, &p->site, &p->task, &p->layout);
    find_heaviest(s);
    int memory = tr_number_add(e, -1, TR_UNIT_BYTES, p->step.memory_bytes, "memory");
    e->at[memory].error = p->step.memory_error;
    tr_number_words(e, memory, "sum of its terms, of the heaviest stage at its peak", TR_GRADE_NONE, "",
                    "stage %d of %d", p->step.heaviest_stage, p->layout.pp);
    for (int i = 0; i < TR_MEM_COUNT; i++)
        s->term[i] = tr_number_add(e, memory, TR_UNIT_BYTES, p->step.memory[i], "%s", tr_mem_name((enum tr_mem)i));
    for (int i = 0; i < BY_WEIGHT; i++)
        add_weights(s, i);
    add_activations(s);
    add_buffers(s);
    word_terms(s);
    add_capacity(s);
    free(s);
}
