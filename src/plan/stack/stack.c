#include "plan/stack/stack.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const attention_names[] = {"flash", "flash-2", "unfused", NULL};
static const char *const extent_names[] = {"width",      "width-full", "qkv",     "heads",  "latent",  "scores", "ffn",
                                           "routed",     "routed-ffn", "shared-ffn", "experts",
                                           "ssm",        "ssm-conv",   "ssm-states", "logits", "weights", NULL};
static const char *const part_names[] = {"embed", "attention", "core", "ffn", "moe", "ssm", "head", NULL};
static const struct {
    const char *name;
    enum tr_when when;
} whens[] = {{"gated", TR_WHEN_GATED},     {"plain", TR_WHEN_PLAIN}, {"fp8", TR_WHEN_FP8},       {"rope", TR_WHEN_ROPE},
             {"qk-norm", TR_WHEN_QK_NORM}, {"tp", TR_WHEN_TP},       {"unfused", TR_WHEN_UNFUSED},
             {"wide", TR_WHEN_WIDE},   {"trained", TR_WHEN_TRAINED},
             {"expert-bias", TR_WHEN_EXPERT_BIAS}};

_Static_assert(sizeof extent_names / sizeof *extent_names == TR_EXTENT_COUNT + 1, "a name for each extent");
_Static_assert(sizeof part_names / sizeof *part_names == TR_PART_COUNT + 1, "a name for each part");

static const char *const ability_names[] = {"sp",    "ring", "all-to-all", "zero0",       "zero1",          "zero2", "zero3",
                                            "gpipe", "1f1b", "interleaved", "zero-bubble", "zero-bubble-2p"};
_Static_assert(sizeof ability_names / sizeof *ability_names == TR_ABILITY_COUNT, "a name for each ability");

const char *tr_ability_name(enum tr_ability ability)
{
    TR_ASSERT((int)ability >= 0 && ability < TR_ABILITY_COUNT);
    return ability_names[ability];
}

const char *tr_extent_name(enum tr_extent extent)
{
    TR_ASSERT((int)extent >= 0 && extent < TR_EXTENT_COUNT);
    return extent_names[extent];
}

const char *tr_part_name(enum tr_part part)
{
    TR_ASSERT((int)part >= 0 && part < TR_PART_COUNT);
    return part_names[part];
}

bool tr_extent_is_inside(enum tr_part part, enum tr_extent over)
{
    return part == TR_PART_CORE || over == TR_EXTENT_FFN || over == TR_EXTENT_ROUTED || over == TR_EXTENT_ROUTED_FFN ||
           over == TR_EXTENT_SHARED_FFN;
}

bool tr_stack_kept_again(const struct tr_stack *stack, const struct tr_stack_kept *kept)
{
    return stack->selective & 1u << kept->part && tr_extent_is_inside(kept->part, kept->over);
}

#define AT(field) offsetof(struct tr_stack, field)
#define FACT(path_, field, unit_, max_, help_)                                                                         \
    {.path = path_, .kind = TR_FIELD_FACT, .offset = AT(field), .unit = unit_, .min = 0, .max = max_, .help = help_}

/* The most that a fit may say of shares: what models of single kernels err by, and for passes what an A100's take of its memory's
 * bandwidth in short benchmarks (0.78), which makes 1.28 all of it; site.c holds both to the data sheet besides. A network card's
 * benchmarks reach 0.9 of it (cloud/collective), which makes 1.11 all of the card. */
#define FITTED                                                                                                         \
    FACT("host.kernel", host_kernel_s, TR_UNIT_TIME, 1e-4, "the host's time to launch one kernel"),                    \
    FACT("host.message", host_message_s, TR_UNIT_TIME, 1e-3, "the host's time to start a message"),                    \
    FACT("host.experts", host_experts_s, TR_UNIT_TIME, 2e-2, "the host's time for a layer of experts in no CUDA graph"), \
    FACT("host.step", host_step_s, TR_UNIT_TIME, 10, "the host's time once a step"),                                   \
    FACT("share.launch", launch_share, TR_UNIT_RATIO, 1, "of a kernel's latency that is seen in a queue of kernels"),   \
    FACT("share.compute", compute_share, TR_UNIT_RATIO, 1.15, "of the rate of short benchmarks, in products"),         \
    FACT("share.mxfp8", mxfp8_share, TR_UNIT_RATIO, 1.35, "of that again, in products of MXFP8"),                       \
    FACT("share.fp4", fp4_share, TR_UNIT_RATIO, 1.6, "of that again, in products of 4 bits"),                          \
    FACT("share.attention", attention_share, TR_UNIT_RATIO, 1.35, "of the rate of short benchmarks, in attention"),   \
    FACT("share.memory", memory_share, TR_UNIT_RATIO, 1.28, "of the rate of short benchmarks, in passes"),                \
    FACT("share.link", link_share, TR_UNIT_RATIO, 1.15, "of the rate of benchmarks, of messages in a scale-up domain"), \
    FACT("share.net", net_share, TR_UNIT_RATIO, 1.11, "of the rate of benchmarks, of messages between nodes"),          \
    FACT("hidden.tp", tp_hidden, TR_UNIT_RATIO, 1, "share of tensor-parallel messages under products"),                \
    FACT("hidden.dp", dp_hidden, TR_UNIT_RATIO, 1, "share of the backward pass that hides sums of gradients"),         \
    FACT("hidden.gather", gather_hidden, TR_UNIT_RATIO, 1, "share of the forward pass that hides gathered weights"),   \
    FACT("hidden.ep", ep_hidden, TR_UNIT_RATIO, 1, "share of the experts' all-to-all under other work"),               \
    FACT("hidden.p2p", p2p_hidden, TR_UNIT_RATIO, 1, "share of the sends between stages under other work"),            \
    FACT("slow.compute", compute_slow, TR_UNIT_RATIO, 1, "slowing of products while messages move"),                   \
    FACT("slow.imbalance", imbalance, TR_UNIT_RATIO, 10, "what experts' products take beyond as many of their size: imbalance, grouped kernels"),                \
    FACT("slow.straggle", straggle, TR_UNIT_RATIO, 0.4, "how much later the slowest of many nodes is"),

#define ERRORS                                                                                                         \
    FACT("error", error, TR_UNIT_RATIO, 3, "half width of the 80 % interval that the software adds"),                   \
    FACT("memory_error", memory_error, TR_UNIT_RATIO, 3, "half width of the 80 % interval of memory"),

static const struct tr_field fitted[] = {
    FITTED
    ERRORS
};

static const struct tr_field fit_fields[] = {
    FITTED
    ERRORS
    {.path = "runs", .kind = TR_FIELD_GROUP, .help = "chips, and formats of products, of the runs that it was fitted to"},
};

static const struct tr_field fields[] = {
    {.path = "share.scan", .kind = TR_FIELD_FACT, .offset = AT(scan_share), .unit = TR_UNIT_RATIO, .min = 1e-3, .max = 1,
     .required = true, .help = "of the rate of products, in the chunks of state-space layers"},
    {.path = "about", .kind = TR_FIELD_TEXT, .offset = AT(about), .required = true, .help = "what software it is"},
    {.path = "frameworks", .kind = TR_FIELD_GROUP, .help = "what tables of runs call it"},
    {.path = "attention", .kind = TR_FIELD_ENUM, .offset = AT(attention), .choices = attention_names,
     .help = "one kernel, or products around passes over the scores"},
    FITTED
    ERRORS
    FACT("bytes.gradient", grad_bytes, TR_UNIT_BYTES, 8, "of one gradient as kept"),
    FACT("bytes.alone", alone_bytes, TR_UNIT_BYTES, 16, "of a gradient of the matrix computed last"),
    FACT("bytes.reduced", reduce_bytes, TR_UNIT_BYTES, 8, "of one gradient as it travels"),
    FACT("bytes.optimizer", master_bytes, TR_UNIT_BYTES, 32, "optimiser state of one parameter"),
    FACT("bytes.update", update_bytes, TR_UNIT_BYTES, 200, "read and written to update one parameter"),
    FACT("bytes.context", context_bytes, TR_UNIT_BYTES, 64e9, "of the device's context and libraries"),
    FACT("bytes.communicator", comm_bytes, TR_UNIT_BYTES, 64e9, "buffers of one communicator"),
    FACT("bytes.fragmentation", fragmentation, TR_UNIT_RATIO, 1, "of what is allocated, never used"),
    {.path = "release", .kind = TR_FIELD_FLAG, .offset = AT(release),
     .help = "a later release of what it is like: the fit keeps it near that"},
    {.path = "dispatch_once", .kind = TR_FIELD_FLAG, .offset = AT(dispatch_once),
     .help = "a token goes to a node once, however many experts it has there"},
    {.path = "graphs", .kind = TR_FIELD_FLAG, .offset = AT(graphs),
     .help = "layers of experts are in CUDA graphs in scale-up domains of more than a node"},
    {.path = "attention8", .kind = TR_FIELD_FLAG, .offset = AT(attention8),
     .help = "attention of runs in MXFP8 is in 8 bits, on chips with twice the usual exponentials"},
    {.path = "selective", .kind = TR_FIELD_GROUP, .help = "parts of a layer that selective recompute computes again"},
    {.path = "cannot", .kind = TR_FIELD_GROUP, .help = "words of layouts that it does not do"},
    {.path = "passes", .kind = TR_FIELD_GROUP, .help = "kernels that only move memory"},
    {.path = "kept", .kind = TR_FIELD_GROUP, .help = "what the forward pass keeps"},
};

const struct tr_field *tr_stack_fields(int *count)
{
    *count = (int)(sizeof fields / sizeof *fields);
    return fields;
}

/* One row of passes or kept, as a file has it. */
struct row {
    int part, over;
    struct tr_fact forward, backward, bytes;
    int64_t kernels, backward_kernels;
};

#define ROW(field) offsetof(struct row, field)
static const struct tr_field pass_fields[] = {
    {.path = "part", .kind = TR_FIELD_ENUM, .offset = ROW(part), .choices = part_names, .required = true},
    {.path = "over", .kind = TR_FIELD_ENUM, .offset = ROW(over), .choices = extent_names, .required = true},
    {.path = "when", .kind = TR_FIELD_GROUP},
    {.path = "forward", .kind = TR_FIELD_FACT, .offset = ROW(forward), .unit = TR_UNIT_BYTES, .max = 1000},
    {.path = "backward", .kind = TR_FIELD_FACT, .offset = ROW(backward), .unit = TR_UNIT_BYTES, .max = 1000},
    {.path = "kernels", .kind = TR_FIELD_WHOLE, .offset = ROW(kernels), .max = 1000},
    {.path = "backward_kernels", .kind = TR_FIELD_WHOLE, .offset = ROW(backward_kernels), .max = 1000},
};
static const struct tr_field kept_fields[] = {
    {.path = "part", .kind = TR_FIELD_ENUM, .offset = ROW(part), .choices = part_names, .required = true},
    {.path = "over", .kind = TR_FIELD_ENUM, .offset = ROW(over), .choices = extent_names, .required = true},
    {.path = "when", .kind = TR_FIELD_GROUP},
    {.path = "bytes", .kind = TR_FIELD_FACT, .offset = ROW(bytes), .unit = TR_UNIT_BYTES, .max = 1000,
     .required = true},
};

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* A list of names, as bits by index: `when: [gated, fp8]`. */
static enum tr_status read_names(const struct tr_entry *entry, const char *path, const char *const *names, int count,
                                 uint32_t *bits, struct tr_err *err)
{
    const struct tr_node *node = tr_entry_node(entry, path, NULL);
    *bits = 0;
    if (!node)
        return TR_OK;
    if (node->kind != TR_NODE_ARRAY)
        return tr_node_fail(node, err, "expected a list such as [%s, %s]", names[0], names[1]);
    for (int64_t i = 0; i < node->count; i++) {
        int which;
        enum tr_status status = tr_node_enum(&node->children[i], names, count, &which, err);
        if (status != TR_OK)
            return status;
        *bits |= 1u << which;
    }
    return TR_OK;
}

static enum tr_status read_when(const struct tr_entry *entry, const char *path, uint32_t *when, struct tr_err *err)
{
    char full[160];
    const char *names[COUNT(whens)];
    uint32_t bits;
    snprintf(full, sizeof full, "%s.when", path);
    for (int i = 0; i < COUNT(whens); i++)
        names[i] = whens[i].name;
    enum tr_status status = read_names(entry, full, names, COUNT(whens), &bits, err);
    *when = 0;
    for (int i = 0; i < COUNT(whens) && status == TR_OK; i++)
        *when |= bits & 1u << i ? (uint32_t)whens[i].when : 0;
    return status;
}

static enum tr_status read_row(const struct tr_entry *entry, const char *group, const char *name,
                               const struct tr_field *row_fields, int count, struct row *row, uint32_t *when,
                               struct tr_err *err)
{
    char path[128];
    *row = (struct row){.kernels = 1, .backward_kernels = 1};
    snprintf(path, sizeof path, "%s.%s", group, name);
    enum tr_status status = tr_entry_read(entry, path, row_fields, count, row, err);
    return status == TR_OK ? read_when(entry, path, when, err) : status;
}

static enum tr_status read_passes(const struct tr_entry *entry, struct tr_stack *out, struct tr_err *err)
{
    const char *names[TR_STACK_PASSES_MAX];
    enum tr_status status = tr_entry_keys(entry, "passes", names, TR_STACK_PASSES_MAX, &out->pass_count, err);
    for (int i = 0; i < out->pass_count && status == TR_OK; i++) {
        struct row row;
        struct tr_stack_pass *pass = &out->pass[i];
        status = read_row(entry, "passes", names[i], pass_fields, COUNT(pass_fields), &row, &pass->when, err);
        pass->name = names[i];
        pass->part = (enum tr_part)row.part;
        pass->over = (enum tr_extent)row.over;
        pass->forward = row.forward;
        pass->backward = row.backward;
        pass->kernels = (int32_t)row.kernels;
        pass->backward_kernels = (int32_t)row.backward_kernels;
    }
    return status;
}

static enum tr_status read_kept(const struct tr_entry *entry, struct tr_stack *out, struct tr_err *err)
{
    const char *names[TR_STACK_KEPT_MAX];
    enum tr_status status = tr_entry_keys(entry, "kept", names, TR_STACK_KEPT_MAX, &out->kept_count, err);
    for (int i = 0; i < out->kept_count && status == TR_OK; i++) {
        struct row row;
        struct tr_stack_kept *kept = &out->kept[i];
        status = read_row(entry, "kept", names[i], kept_fields, COUNT(kept_fields), &row, &kept->when, err);
        kept->name = names[i];
        kept->part = (enum tr_part)row.part;
        kept->over = (enum tr_extent)row.over;
        kept->bytes = row.bytes;
    }
    return status;
}

/* Of an attention outside its core, an embedding or a head nothing is left out. */
static enum tr_status read_selective(const struct tr_entry *entry, uint32_t *parts, struct tr_err *err)
{
    const uint32_t can = 1u << TR_PART_CORE | 1u << TR_PART_FFN | 1u << TR_PART_MOE;
    enum tr_status status = read_names(entry, "selective", part_names, TR_PART_COUNT, parts, err);
    for (int i = 0; i < TR_PART_COUNT && status == TR_OK; i++)
        if (*parts & ~can & 1u << i)
            status = tr_node_fail(tr_entry_node(entry, "selective", NULL), err,
                                  "selective recompute computes the inside of core, ffn and moe again, and has none for %s",
                                  part_names[i]);
    return status;
}

static enum tr_status read_frameworks(const struct tr_entry *entry, struct tr_stack *out, struct tr_err *err)
{
    const struct tr_node *node = tr_entry_node(entry, "frameworks", NULL);
    if (!node)
        return TR_OK;
    if (node->kind != TR_NODE_ARRAY || node->count > TR_STACK_FRAMEWORKS_MAX)
        return tr_node_fail(node, err, "expected a list of at most %d names", TR_STACK_FRAMEWORKS_MAX);
    for (int64_t i = 0; i < node->count; i++) {
        enum tr_status status = tr_node_string(&node->children[i], &out->framework[i], err);
        if (status != TR_OK)
            return status;
        out->framework_count++;
    }
    return TR_OK;
}

/* Whether the entry, or what it is like below `until`, says `path`. */
static bool says_below(const struct tr_entry *entry, const struct tr_entry *until, const char *path)
{
    const struct tr_entry *holder = NULL;
    if (!tr_entry_node(entry, path, &holder))
        return false;
    while (entry != until && entry != holder)
        entry = entry->base;
    return entry != until;
}

static struct tr_fact *fitted_fact(struct tr_stack *stack, int index)
{
    return (struct tr_fact *)(void *)((char *)stack + fitted[index].offset);
}

static enum tr_status read_runs(const struct tr_entry *fit, struct tr_stack *stack, struct tr_err *err)
{
    const struct tr_node *node = tr_entry_node(fit, "runs", NULL);
    if (node && node->kind != TR_NODE_OBJECT)
        return tr_node_fail(node, err, "expected lists of formats by chip");
    for (int64_t i = 0; node && i < node->count; i++) {
        const struct tr_node *formats = &node->children[i];
        const char *name;
        enum tr_status status = formats->kind == TR_NODE_ARRAY ? TR_OK : tr_node_fail(formats, err, "expected a list of formats");
        for (int64_t k = 0; status == TR_OK && k < formats->count; k++)
            status = tr_node_string(&formats->children[k], &name, err);
        if (status != TR_OK)
            return status;
    }
    stack->runs = node;
    return TR_OK;
}

/* Over the entry's own numbers go those that were fitted to runs of it; or to runs of what it is like, and then what it says
 * otherwise stays. */
static enum tr_status read_fits(const struct tr_entry *entry, struct tr_stack *stack, struct tr_err *err)
{
    const struct tr_entry *like = entry, *fit = NULL;
    while (like && !(fit = tr_catalog_look(like->catalog, TR_SECTION_STACK_FITS, like->id)))
        like = like->base;
    if (!fit)
        return TR_OK;
    struct tr_stack said = *stack;
    enum tr_status status = tr_entry_read(fit, "", fit_fields, COUNT(fit_fields), stack, err);
    if (status == TR_OK)
        status = read_runs(fit, stack, err);
    for (int i = 0; i < (int)COUNT(fitted) && status == TR_OK; i++)
        if (says_below(entry, like, fitted[i].path))
            *fitted_fact(stack, i) = *fitted_fact(&said, i);
    if (says_below(entry, like, "error"))
        stack->runs = NULL; /* they say nothing of an error that they did not give */
    return status;
}

const struct tr_stack_param *tr_stack_params(int *count)
{
    enum { MAX = COUNT(fitted) };
    static struct tr_stack_param params[MAX];
    *count = MAX - 2; /* the errors follow from the fit */
    for (int i = 0; i < *count; i++) {
        params[i] = (struct tr_stack_param){.path = fitted[i].path, .offset = fitted[i].offset, .max = fitted[i].max};
        if (strncmp(fitted[i].path, "share.", 6) == 0 && strcmp(fitted[i].path, "share.launch") != 0)
            params[i].min = .1;
    }
    return params;
}

enum tr_status tr_stack_read_unfitted(const struct tr_entry *entry, struct tr_stack *out, struct tr_err *err)
{
    struct tr_stack stack = {.name = entry->id, .about = "", .entry = entry};
    enum tr_status status = tr_entry_read(entry, "", fields, COUNT(fields), &stack, err);
    if (status == TR_OK)
        status = read_frameworks(entry, &stack, err);
    if (status == TR_OK)
        status = read_names(entry, "cannot", ability_names, TR_ABILITY_COUNT, &stack.cannot, err);
    if (status == TR_OK)
        status = read_selective(entry, &stack.selective, err);
    if (status == TR_OK)
        status = read_passes(entry, &stack, err);
    if (status == TR_OK)
        status = read_kept(entry, &stack, err);
    if (status == TR_OK)
        *out = stack;
    return status;
}

enum tr_status tr_stack_read(const struct tr_entry *entry, struct tr_stack *out, struct tr_err *err)
{
    struct tr_stack stack;
    enum tr_status status = tr_stack_read_unfitted(entry, &stack, err);
    if (status == TR_OK)
        status = read_fits(entry, &stack, err);
    if (status == TR_OK)
        *out = stack;
    return status;
}

enum tr_status tr_stack_find(const struct tr_catalog *catalog, const char *name, struct tr_stack *out,
                             struct tr_err *err)
{
    const struct tr_entry *entry;
    enum tr_status status = tr_catalog_find(catalog, TR_SECTION_STACKS, name, &entry, err);
    return status == TR_OK ? tr_stack_read(entry, out, err) : status;
}

/* Whether `word` begins the name, or stands somewhere in it; in any case of letters. */
static bool named_so(const char *framework, const char *word, bool anywhere)
{
    size_t length = strlen(word);
    if (strncasecmp(framework, word, length) == 0)
        return true;
    for (; anywhere && *framework; framework++)
        if (!isalnum((unsigned char)framework[0]) && strncasecmp(framework + 1, word, length) == 0)
            return true;
    return false;
}

const struct tr_entry *tr_stack_for(const struct tr_catalog *catalog, const char *framework)
{
    const struct tr_entry *best = NULL;
    size_t best_length = 0;
    for (int anywhere = 0; !best && anywhere < 2; anywhere++)
        for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_STACKS); i++) {
            const struct tr_entry *entry = tr_catalog_entry(catalog, TR_SECTION_STACKS, i);
            /* Its own names only: what it is like has those of another program. */
            const struct tr_entry *holder;
            const struct tr_node *node = tr_entry_node(entry, "frameworks", &holder);
            for (int64_t k = 0; node && holder == entry && node->kind == TR_NODE_ARRAY && k < node->count; k++) {
                const char *text = node->children[k].kind == TR_NODE_STRING ? node->children[k].string : "";
                size_t length = strlen(text);
                if (length > best_length && named_so(framework, text, anywhere))
                    best = entry, best_length = length;
            }
        }
    return best;
}

bool tr_stack_has_runs(const struct tr_stack *stack, const char *chip, const char *format)
{
    for (int64_t i = 0; stack->runs && i < stack->runs->count; i++) {
        const struct tr_node *formats = &stack->runs->children[i];
        for (int64_t k = 0; strcmp(formats->key, chip) == 0 && k < formats->count; k++)
            if (strcmp(formats->children[k].string, format) == 0)
                return true;
    }
    return false;
}

bool tr_stack_is_like(const struct tr_stack *stack, const char *name)
{
    for (const struct tr_entry *entry = stack->entry; entry; entry = entry->base)
        if (strcmp(entry->id, name) == 0)
            return true;
    return false;
}
