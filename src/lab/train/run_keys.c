/* The one table of keys of a run's config: see run_config.h. */
#include "lab/data/source.h"
#include "lab/train/run_config.h"

#include "lab/train/spike.h"

#include <stddef.h>

#define AT(field) .offset = offsetof(struct tr_run_config, field)
#define TEXT(field) AT(field), .bytes = sizeof((struct tr_run_config *)0)->field

static const char *const recompute_names[] = {"auto", "none", "elementwise", "full", NULL}; /* enum tr_recompute + 1 */
const char *tr_run_recompute_name(const struct tr_run_config *config) { return recompute_names[config->recompute]; }

static const char *const dtype_names[] = {"f32", "bf16", NULL};
static const char *const documents_names[] = {"joined", "apart", NULL};
static const char *const optimizer_names[] = {"adamw", "muon", NULL};
static const char *const schedule_names[] = {"cosine", "wsd", "constant", NULL};

static const char *const lora_names[] = {"qv", "attention", "all", NULL};
static const char *const save_where_names[] = {"foreground", "background", NULL};
static const char *const where_run_names[] = {"background", "foreground", NULL};
static const char *const spike_names[] = {"take", "skip", "roll_back", NULL};
static const char *const keep_best_names[] = {"drop", "keep", NULL};

static const struct tr_run_key keys[] = {
    {"model.name", TR_KEY_STRING, TEXT(model), .fallback = "", .effect = TR_KEY_FIXED,
     .help = "preset, config.json or folder that holds one; empty: made from model.depth"},
    {"model.init", TR_KEY_STRING, TEXT(init), .fallback = "", .effect = TR_KEY_FREE,
     .help = "start from these weights, and be this model: a Hugging Face folder, a .gguf file, a checkpoint or a run"},
    {"model.depth", TR_KEY_INT, AT(depth), .fallback = "4", .min = 1, .max = 128, .effect = TR_KEY_FIXED,
     .help = "the one dial: layers; width, heads and feed-forward follow; used when model.name is empty"},

    {"data.path", TR_KEY_STRING, TEXT(data), .fallback = "", .effect = TR_KEY_FREE,
     .help = "text file, *.jsonl file of documents or conversations, or folder whose files are read recursively; or shards of "
             "tokens (*.tokens, llm.c's *.bin, Megatron's *.idx and *.bin)"},
    {"data.tokenizer", TR_KEY_STRING, TEXT(tokenizer), .fallback = "", .effect = TR_KEY_FREE,
     .help = "tokenizer.json; empty: the one beside the shards, or bytes"},
    {"data.chat_template", TR_KEY_STRING, TEXT(chat_template), .fallback = "", .effect = TR_KEY_FIXED,
     .help = "how conversations (*.jsonl of \"messages\") become text: chatml, smollm2, qwen2.5, llama3 ...; empty: as the "
             "model's files say"},
    {"data.encoding", TR_KEY_ENUM, AT(encoding), .fallback = "utf8", .choices = tr_encoding_names, .effect = TR_KEY_FREE,
     .help = "utf8: text that is not UTF-8 is refused; bytes: any bytes are taken as they are"},
    {"data.seq_len", TR_KEY_INT, AT(seq_len), .fallback = "256", .min = 1, .max = TR_POSITIONS_MAX,
     .effect = TR_KEY_FIXED, .help = "tokens of a sequence"},
    {"data.val_fraction", TR_KEY_DOUBLE, AT(val_fraction), .fallback = "0.1", .min = 0, .max = 0.9,
     .effect = TR_KEY_FIXED, .help = "share of the text, from its end, for validation; 0: none"},
    {"data.documents", TR_KEY_ENUM, AT(documents), .fallback = "joined", .choices = documents_names,
     .effect = TR_KEY_FIXED, .help = "apart: documents that share a sequence do not see each other; conversations never do"},

    {"train.steps", TR_KEY_INT, AT(steps), .fallback = "auto", .automatic = true, .min = 1, .max = 1e12,
     .effect = TR_KEY_NOTED, .help = "optimiser steps; auto: from train.tokens, else 20 tokens for each parameter"},
    {"train.tokens", TR_KEY_INT, AT(tokens), .fallback = "0", .min = 0, .max = 1e17, .effect = TR_KEY_FREE,
     .help = "tokens to train on, instead of train.steps; 0: not given"},
    {"train.batch", TR_KEY_INT, AT(batch), .fallback = "auto", .automatic = true, .min = 1, .max = 1e9,
     .effect = TR_KEY_FIXED, .help = "sequences of a step, over all lanes; auto: about 8192 tokens"},
    {"train.micro_batch", TR_KEY_INT, AT(micro_batch), .fallback = "auto", .automatic = true, .min = 1, .max = 1e9,
     .effect = TR_KEY_FREE, .help = "sequences at a time; less takes less memory and changes no bit of the result; auto: about 4096 tokens, or the "
                                     "fastest that fits, where `trine calibrate` has left a profile"},
    {"train.recompute", TR_KEY_ENUM, AT(recompute), .fallback = "auto", .choices = recompute_names,
     .effect = TR_KEY_FREE,
     .help = "what the backward pass computes again instead of keeping it, to the same bits. elementwise: outputs of norms "
             "and activations; full: all but each layer's input; auto: elementwise, or full where memory wants it"},
    {"train.dtype", TR_KEY_ENUM, AT(dtype), .fallback = "f32", .choices = dtype_names, .effect = TR_KEY_FIXED,
     .help = "number type of activations and products; bf16: weights are kept, updated and saved in fp32"},
    {"train.seed", TR_KEY_INT, AT(seed), .fallback = "1", .min = 0, .max = 9e15, .effect = TR_KEY_FIXED,
     .help = "decides initial weights and the order of the data"},
    {"train.max_skipped", TR_KEY_INT, AT(max_skipped), .fallback = "10", .min = 1, .max = 1e9, .effect = TR_KEY_FREE,
     .help = "stop after so many steps in a row whose loss or gradient was not finite (each is left out)"},

    {"spike.action", TR_KEY_ENUM, AT(spike_action), .fallback = "take", .choices = spike_names, .effect = TR_KEY_NOTED,
     .help = "when loss or gradient norm jumps. skip: leave that step out; roll_back: go back to the last checkpoint of "
             "a step that is a multiple of checkpoint.every, and pass over the batches since"},
    {"spike.deviations", TR_KEY_DOUBLE, AT(spike_deviations), .fallback = "6", .min = 1, .max = 1e6,
     .effect = TR_KEY_NOTED, .help = "standard deviations above the mean of the last steps from which it is a spike"},
    {"spike.window", TR_KEY_INT, AT(spike_window), .fallback = "64", .min = TR_SPIKE_WINDOW_MIN,
     .max = TR_SPIKE_WINDOW_MAX, .effect = TR_KEY_NOTED, .help = "how many steps that is; before them nothing is a spike"},
    {"spike.roll_backs", TR_KEY_INT, AT(spike_roll_backs), .fallback = "10", .min = 1, .max = 1e6,
     .effect = TR_KEY_FREE, .help = "the run ends when it would go back more often than this"},

    {"replay.every", TR_KEY_INT, AT(replay_every), .fallback = "0", .min = 0, .max = 1e12, .effect = TR_KEY_FREE,
     .help = "against silent corruption: steps that are a multiple of this are computed twice and must agree to the bit, "
             "and weights at rest are watched; takes 12 bytes of memory a parameter; 0: never"},

    {"lora.rank", TR_KEY_INT, AT(lora_rank), .fallback = "0", .min = 0, .max = TR_LORA_RANK_MAX,
     .effect = TR_KEY_FIXED, .help = "train low-rank adapters of this rank, and nothing else; 0: train all weights"},
    {"lora.alpha", TR_KEY_DOUBLE, AT(lora_alpha), .fallback = "16", .above_min = true, .min = 0, .max = 1e6,
     .effect = TR_KEY_FIXED, .help = "adapters count alpha / rank times"},
    {"lora.targets", TR_KEY_ENUM, AT(lora_targets), .fallback = "all", .choices = lora_names, .effect = TR_KEY_FIXED,
     .help = "matrices with adapters: queries and values, those of attention, or all of every layer"},

    {"layout.lanes", TR_KEY_INT, AT(lanes), .fallback = "1", .min = 1, .max = TR_PARTS_MAX, .effect = TR_KEY_FIXED,
     .help = "logical data lanes: the most ranks that the batch may ever be spread over; decides the bits"},
    {"layout.context", TR_KEY_INT, AT(context), .fallback = "1", .min = 1, .max = TR_PARTS_MAX, .effect = TR_KEY_FIXED,
     .help = "logical parts of each sequence"},
    {"layout.tensor", TR_KEY_INT, AT(tensor), .fallback = "1", .min = 1, .max = TR_PARTS_MAX, .effect = TR_KEY_FIXED,
     .help = "logical parts of heads and feed-forward"},
    {"layout.vocab", TR_KEY_INT, AT(vocab), .fallback = "1", .min = 1, .max = TR_PARTS_MAX, .effect = TR_KEY_FIXED,
     .help = "logical parts of the vocabulary"},

    {"optimizer.kind", TR_KEY_ENUM, AT(optimizer), .fallback = "adamw", .choices = optimizer_names,
     .effect = TR_KEY_FIXED,
     .help = "muon: the matrices of the layers by Muon, the rest by AdamW, both at one learning rate"},
    {"optimizer.lr", TR_KEY_DOUBLE, AT(lr), .fallback = "auto", .automatic = true, .above_min = true, .min = 0,
     .max = 10, .effect = TR_KEY_NOTED,
     .help = "highest learning rate; auto: 0.0006 * 768 / width, at most 0.003"},
    {"optimizer.beta1", TR_KEY_DOUBLE, AT(beta1), .fallback = "0.9", .min = 0, .max = 0.999999, .effect = TR_KEY_NOTED,
     .help = "decay of the gradient's mean"},
    {"optimizer.beta2", TR_KEY_DOUBLE, AT(beta2), .fallback = "0.95", .min = 0, .max = 0.999999, .effect = TR_KEY_NOTED,
     .help = "decay of the gradient's mean square"},
    {"optimizer.eps", TR_KEY_DOUBLE, AT(eps), .fallback = "1e-8", .above_min = true, .min = 0, .max = 1,
     .effect = TR_KEY_NOTED, .help = "added to the root of the mean square"},
    {"optimizer.momentum", TR_KEY_DOUBLE, AT(momentum), .fallback = "0.95", .min = 0, .max = 0.999999,
     .effect = TR_KEY_NOTED, .help = "Muon: decay of the gradient's mean"},
    {"optimizer.weight_decay", TR_KEY_DOUBLE, AT(weight_decay), .fallback = "0.1", .min = 0, .max = 10,
     .effect = TR_KEY_NOTED, .help = "of matrices and embeddings; gains and biases have none"},
    {"optimizer.clip", TR_KEY_DOUBLE, AT(clip), .fallback = "1.0", .min = 0, .max = 1e9, .effect = TR_KEY_NOTED,
     .help = "largest norm of the whole gradient; 0: no clipping"},

    {"schedule.kind", TR_KEY_ENUM, AT(schedule), .fallback = "cosine", .choices = schedule_names,
     .effect = TR_KEY_NOTED, .help = "course of the learning rate after the warm-up"},
    {"schedule.warmup", TR_KEY_INT, AT(warmup), .fallback = "auto", .automatic = true, .min = 0, .max = 1e12,
     .effect = TR_KEY_NOTED, .help = "steps of linear rise; auto: a twentieth of the steps, at most 2000"},
    {"schedule.min_lr_ratio", TR_KEY_DOUBLE, AT(min_lr_ratio), .fallback = "0.1", .min = 0, .max = 1,
     .effect = TR_KEY_NOTED, .help = "learning rate at the end, as a share of the highest"},
    {"schedule.decay_fraction", TR_KEY_DOUBLE, AT(decay_fraction), .fallback = "0.2", .min = 0, .max = 1,
     .effect = TR_KEY_NOTED, .help = "wsd: share of the steps, at the end, in which the rate falls"},

    {"eval.every", TR_KEY_INT, AT(eval_every), .fallback = "250", .min = 0, .max = 1e12, .effect = TR_KEY_FREE,
     .help = "steps between evaluations, besides those before the first and after the last step; 0: no evaluation"},
    {"eval.windows", TR_KEY_INT, AT(eval_windows), .fallback = "64", .min = 0, .max = 1e9, .effect = TR_KEY_FREE,
     .help = "validation windows of an evaluation, spread evenly over the validation text; 0: all"},
    {"eval.patience", TR_KEY_INT, AT(eval_patience), .fallback = "0", .min = 0, .max = 1e9, .effect = TR_KEY_NOTED,
     .help = "stop early after so many evaluations in a row without a lower validation loss; 0: never"},

    {"sample.every", TR_KEY_INT, AT(sample_every), .fallback = "0", .min = 0, .max = 1e12, .effect = TR_KEY_FREE,
     .help = "steps between samples, besides that after the last step; 0: only that one"},
    {"sample.tokens", TR_KEY_INT, AT(sample_tokens), .fallback = "200", .min = 0, .max = 1e6, .effect = TR_KEY_FREE,
     .help = "tokens of a sample; 0: no samples"},
    {"sample.top_k", TR_KEY_INT, AT(sample_top_k), .fallback = "0", .min = 0, .max = TR_VOCAB_MAX,
     .effect = TR_KEY_FREE, .help = "draw from the k most likely tokens; 0: from all"},
    {"sample.temperature", TR_KEY_DOUBLE, AT(sample_temperature), .fallback = "0.8", .min = 0, .max = 2,
     .effect = TR_KEY_FREE, .help = "0: always the most likely token"},
    {"sample.prompt", TR_KEY_STRING, TEXT(sample_prompt), .fallback = "", .effect = TR_KEY_FREE,
     .help = "what the sample goes on from, or of conversations what the user says; empty: a new line"},

    {"checkpoint.every", TR_KEY_INT, AT(save_every), .fallback = "500", .min = 0, .max = 1e12, .effect = TR_KEY_FREE,
     .help = "steps between checkpoints, besides that after the last step; 0: only that one"},
    {"checkpoint.keep_last", TR_KEY_INT, AT(keep_last), .fallback = "2", .min = 0, .max = 1e6, .effect = TR_KEY_FREE,
     .help = "how many of the newest checkpoints stay; 0: all"},
    {"checkpoint.keep_every", TR_KEY_INT, AT(keep_every), .fallback = "0", .min = 0, .max = 1e12,
     .effect = TR_KEY_FREE, .help = "checkpoints of steps that are a multiple of this stay for good; 0: none do"},
    {"checkpoint.best", TR_KEY_ENUM, AT(keep_best), .fallback = "drop", .choices = keep_best_names,
     .effect = TR_KEY_FREE,
     .help = "keep: save when the validation loss is the lowest so far, and keep that one; RUN/best leads to it"},
    {"checkpoint.write", TR_KEY_ENUM, AT(save_where), .fallback = "foreground", .choices = save_where_names,
     .effect = TR_KEY_FREE,
     .help = "background: a thread writes a copy while training goes on; takes 12 bytes of memory a parameter, "
             "ranks share that"},

    {"run.out", TR_KEY_STRING, TEXT(out), .fallback = "", .effect = TR_KEY_FREE,
     .help = "the run folder; empty: runs/ and the model's name"},
    {"run.threads", TR_KEY_INT, AT(threads), .fallback = "0", .min = 0, .max = 1024, .effect = TR_KEY_FREE,
     .help = "threads; 0: all usable cores; changes no bit of the result"},
    {"run.collectives", TR_KEY_ENUM, AT(collectives), .fallback = "background", .choices = where_run_names, .effect = TR_KEY_FREE,
     .help = "of several ranks: what they exchange moves beside their work; foreground: work waits for it; changes no bit of the result"},
    {"run.log_every", TR_KEY_INT, AT(log_every), .fallback = "auto", .automatic = true, .min = 1, .max = 1e12,
     .effect = TR_KEY_FREE, .help = "steps between lines of the log; auto: a twentieth of the steps, at most 100"},
};

const struct tr_run_key *tr_run_keys(int *count)
{
    *count = (int)(sizeof keys / sizeof *keys);
    return keys;
}
