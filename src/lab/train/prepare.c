/* Before the first step: what files and config say, data, memory. */
#include "lab/exchange/exchange.h"
#include "lab/train/origin.h"
#include "lab/train/run.h"
#include "silicon/chip/peak.h"

#include <string.h>

static enum tr_status choose_machine(struct tr_run *run, struct tr_err *err)
{
    enum tr_status status = tr_isa_choose(&run->isa, err);
    if (status != TR_OK)
        return status;
    run->machine.kernels = tr_kernel_set(run->isa);
    run->machine.threads = run->config.threads > 0 ? (int)run->config.threads : run->cores;
    return TR_OK;
}

static enum tr_status take_tokenizer_of_init(struct tr_run *run, struct tr_err *err)
{
    struct tr_origin origin;
    enum tr_status status = tr_origin_find(&origin, run->config.init, err);
    if (status == TR_OK)
        strcpy(run->path_tokenizer, origin.tokenizer);
    return status;
}

/* Another tokenizer than the model's own may be meant (a vocabulary that was extended), so it is told and not refused. */
static enum tr_status compare_tokenizers(struct tr_run *run, struct tr_err *err)
{
    struct tr_origin origin;
    enum tr_status status = tr_origin_find(&origin, run->config.init, err);
    if (status == TR_OK)
        status = tr_origin_token_differs(&origin, run->path_tokenizer, run->token, &run->foreign_token, err);
    return status;
}

static enum tr_status find_tokenizer(struct tr_run *run, struct tr_err *err)
{
    const struct tr_run_config *c = &run->config;
    if (c->data[0] == 0) /* said later, by the name of the key */
        return TR_OK;
    enum tr_status status = tr_data_find_tokenizer(c->data, c->tokenizer, run->path_tokenizer, err);
    if (status == TR_OK && run->path_tokenizer[0] == 0 && c->init[0])
        status = take_tokenizer_of_init(run, err);
    if (status == TR_OK && run->path_tokenizer[0])
        status = tr_import_token(run->path_tokenizer, &run->token, err);
    if (status == TR_OK && run->token && c->init[0])
        status = compare_tokenizers(run, err);
    return status;
}

/* Data that are conversations need a template, the model's or the one that is named, and stand apart. */
static enum tr_status find_chat(struct tr_run *run, struct tr_err *err)
{
    struct tr_run_config *c = &run->config;
    bool is_chat = false;
    enum tr_status status = c->data[0] ? tr_data_is_chat(c->data, &is_chat, err) : TR_OK;
    if (status == TR_OK && is_chat && !run->token)
        return tr_fail(err, TR_BAD_INPUT, "%s: is of conversations, which need a tokenizer that has the tokens of the chat "
                       "template: name one with data.tokenizer", c->data);
    if (status == TR_OK)
        status = tr_manner_find(&run->manner, run->path_tokenizer, run->token, c->chat_template, err);
    if (status != TR_OK || !is_chat)
        return status;
    c->documents = TR_DOCUMENTS_APART;
    return tr_manner_chat(&run->manner, run->path_tokenizer, &run->chat, err);
}

/* What model, by which tokens: what files say. */
static enum tr_status read_files(struct tr_run *run, struct tr_err *err)
{
    enum tr_status status = find_tokenizer(run, err);
    if (status == TR_OK)
        status = find_chat(run, err);
    int64_t vocab = run->token ? tr_token_vocab(run->token) : TR_BYTE_VOCAB;
    return status == TR_OK ? tr_run_config_resolve(&run->config, vocab, &run->model, err) : status;
}

static enum tr_status choose_work(struct tr_run *run, struct tr_err *err)
{
    enum tr_status status = choose_machine(run, err);
    if (run->options->peak_flop_s == 0 && tr_run_leads(run))
        run->hand_s = tr_chip_measure_hand_s();
    if (status == TR_OK)
        status = tr_data_measure(run->config.data, &run->data_bytes, err);
    return tr_run_alike(run, status, err);
}

/* Ranks go from step to step together: where one fails, all end there. */
enum tr_status tr_run_prepare(struct tr_run *run, const struct tr_run_config *config, struct tr_err *err)
{
    run->config = *config;
    run->auto_micro_batch = config->micro_batch == TR_AUTO;
    run->auto_recompute = config->recompute == 0;
    enum tr_status status = tr_run_agree_program(run, err);
    if (status == TR_OK)
        status = tr_run_alike(run, read_files(run, err), err);
    if (status == TR_OK)
        status = tr_run_agree_config(run, err);
    if (status == TR_OK)
        status = tr_run_share_host(run, err);
    if (status == TR_OK)
        status = choose_work(run, err);
    if (status == TR_OK)
        status = tr_run_alike(run, tr_run_fit(run, err), err);
    if (status == TR_OK)
        status = tr_run_alike(run, tr_run_trace_fit(run, err), err);
    if (status == TR_OK)
        status = tr_run_alike(run, tr_run_find_resume(run, err), err);
    if (status == TR_OK)
        run->flop_per_token = tr_model_flop_per_token(&run->model, run->config.seq_len);
    return status;
}

enum tr_status tr_run_open_data(struct tr_run *run, struct tr_err *err)
{
    struct tr_data_config config = {
        .path = run->config.data,
        .encoding = (enum tr_encoding)run->config.encoding,
        .seq_len = run->config.seq_len,
        .batch = run->config.batch,
        .seed = (uint64_t)run->config.seed,
        .val_fraction = run->config.val_fraction,
        .val_windows = run->config.eval_windows,
        .apart = run->program.step.apart,
        .token = run->token,
        .chat = run->chat,
    };
    return tr_data_open(&run->data, &config, err);
}

/* Of rows that other ranks train on this one must know how many targets they have. */
static enum tr_status open_row(struct tr_run *run, struct tr_err *err)
{
    if (!run->world || !run->data.apart)
        return TR_OK;
    run->row = tr_arena_array(&run->arena, 3 * run->config.seq_len, sizeof *run->row, err);
    return run->row ? TR_OK : TR_FAILED;
}

static float **address_list(struct tr_run *run, float *(*address)(const struct tr_exec *, int32_t),
                            struct tr_err *err)
{
    int32_t count = run->program.weights.count;
    float **list = tr_arena_array(&run->arena, count, sizeof *list, err);
    for (int32_t i = 0; list && i < count; i++)
        list[i] = address(&run->exec, i);
    return list;
}

enum tr_status tr_run_open_memory(struct tr_run *run, struct tr_err *err)
{
    enum tr_status status = tr_exec_open(&run->exec, &run->program, run->machine, NULL, err);
    if (status != TR_OK)
        return status;
    run->has_exec = true;
    run->exec.crowd = &run->crowd;
    if (run->world && (status = tr_exec_join(&run->exec, run->world, err)) != TR_OK)
        return status;
    if (run->options->peak_flop_s == 0 && tr_run_leads(run))
        tr_run_measure_memory(run);
    float **w = address_list(run, tr_exec_weight, err);
    float **m = w ? address_list(run, tr_exec_moment_m, err) : NULL;
    float **v = m ? address_list(run, tr_exec_moment_v, err) : NULL;
    if (!v)
        return TR_FAILED;
    run->tensors = (struct tr_tensors){.weights = &run->program.weights, .w = w, .m = m, .v = v};
    status = tr_writers_make(&run->writers, &run->program, err);
    if (status == TR_OK)
        status = tr_run_spread_open(run, err);
    if (status == TR_OK)
        status = open_row(run, err);
    if (status == TR_OK)
        status = tr_run_replay_open(run, err);
    return status == TR_OK ? tr_run_save_open(run, err) : status;
}
