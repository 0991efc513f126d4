/* trine tokenize: vocabularies are trained; text becomes tokens, and back. */
#include "app/app.h"

#include "base/json.h"
#include "base/os.h"
#include "base/progress.h"
#include "base/quantity.h"
#include "lab/data/data.h"
#include "lab/data/document.h"
#include "lab/data/shards.h"
#include "lab/data/talk.h"
#include "lab/exchange/exchange.h"
#include "lab/token/learn.h"
#include "lab/train/origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPECIAL_MAX = 64, DECODE_AT_ONCE = 1 << 16 };

struct tokenize_args {
    const char *action;
    const char *tokenizer, *out, *special, *chat_template;
    int64_t vocab, min_count, shard_tokens;
    int pre, encoding;
    bool json, quiet;
};

static const char *const pre_names[] = {"gpt-2", "llama-bpe", "qwen2", "smollm", NULL};

#define AT(field) .offset = offsetof(struct tokenize_args, field)

static const struct tr_option options[] = {
    {.name = "tokenizer", .letter = 't', .kind = TR_OPTION_PATH, AT(tokenizer), .value = "FILE",
     .help = "tokenizer.json to encode, decode or count by; decode: without it, the one beside the shards"},
    {.name = "out", .letter = 'o', .kind = TR_OPTION_PATH, AT(out), .value = "PATH",
     .help = "train: the tokenizer.json to write; encode: the shards' folder; decode: a file, else standard output"},
    {.name = "vocab", .letter = 'v', .kind = TR_OPTION_COUNT, AT(vocab), .fallback = "8192", .min = 257, .max = 1 << 20,
     .value = "N", .help = "tokens of the vocabulary, special ones and the 256 bytes included", .section = "Training"},
    {.name = "pre", .kind = TR_OPTION_ENUM, AT(pre), .fallback = "qwen2", .choices = pre_names, .value = "NAME",
     .help = "how text is split before merging: as these models do it (qwen2 also normalises to NFC)",
     .section = "Training"},
    {.name = "special", .kind = TR_OPTION_STRING, AT(special), .fallback = "<|endoftext|>", .value = "NAMES",
     .help = "special tokens, commas between them; a token that ends a text is among them", .section = "Training"},
    {.name = "min-count", .kind = TR_OPTION_COUNT, AT(min_count), .fallback = "2", .min = 1, .max = 1e15, .value = "N",
     .help = "pairs that occur less often become no token", .section = "Training"},
    {.name = "shard-tokens", .kind = TR_OPTION_COUNT, AT(shard_tokens), .fallback = "64M", .min = 1, .max = 4e9,
     .value = "N", .help = "tokens of a shard, all of which stand in memory at once", .section = "Encoding"},
    {.name = "chat-template", .kind = TR_OPTION_STRING, AT(chat_template), .value = "NAME",
     .help = "chat: how conversations become text (trine generate --help lists them); without it, as the files beside the "
             "tokenizer say"},
    {.name = "encoding", .kind = TR_OPTION_ENUM, AT(encoding), .fallback = "utf8", .choices = tr_encoding_names,
     .value = "NAME", .help = "of the text; utf8: what is not UTF-8 is refused; bytes: any bytes are taken as they are"},
    {.name = "json", .kind = TR_OPTION_FLAG, AT(json), .help = "print the result as one JSON object"},
    {.name = "quiet", .letter = 'q', .kind = TR_OPTION_FLAG, AT(quiet), .help = "no progress on standard error"},
};

static const struct tr_positional positionals[] = {
    {.name = "ACTION", .help = "train, encode, decode, count or chat", AT(action)},
    {.name = "PATH", .help = "text files and folders of them; decode: shards and folders of them", .many = true},
};

static const struct tr_command command = {
    .name = "tokenize",
    .summary = "train a tokenizer, turn text into tokens and back",
    .description =
        "train: a byte-level BPE vocabulary of --vocab tokens from the text, as a tokenizer.json that Hugging Face's "
        "tokenizers reads too. Ties are broken by a rule (lab/token/learn.h), so the same text gives the same file.\n"
        "encode: the text as shards of tokens in the folder --out, which `trine train` takes as its data. Each file, "
        "and each line of a *.jsonl file ({\"text\": \"...\"}), is a document, with the tokenizer's end-of-text token "
        "behind it.\n"
        "decode: the text of shards, documents one behind the other.\n"
        "count: how many tokens the text is, and how fast that was found.\n"
        "chat: what `trine train` makes of conversations (*.jsonl of \"messages\"), one JSON object each: its text, its "
        "tokens, and which of them are learned.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = 2,
    .examples = "trine tokenize train book.txt --vocab 4096 -o tokenizer.json\n"
                "trine tokenize count book.txt -t tokenizer.json\n"
                "trine tokenize encode texts/ -t tokenizer.json -o shards\n"
                "trine train shards --depth 4\n"
                "trine tokenize decode shards\n"
                "trine tokenize chat talks.jsonl -t SmolLM2-135M-Instruct.gguf\n",
};

/* What was done; printed at the end. */
struct result {
    int64_t files, text_bytes, tokens, shards, merges, pieces, dropped;
    double seconds;
};

struct job {
    const struct tokenize_args *args;
    char **path;
    int path_count;
    struct tr_source *source; /* [path_count] */
    int64_t all_bytes, done_bytes; /* of files, for the bar */
    struct tr_progress bar;
    struct result result;
};

static double rate_mb_s(const struct result *r)
{
    return r->seconds > 0 ? (double)r->text_bytes / r->seconds / 1e6 : 0;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* Lists all of them first, so that a mistake in the last name costs nothing, and progress has its total. */
static enum tr_status find_sources(struct job *job, bool shards, struct tr_err *err)
{
    job->source = calloc((size_t)job->path_count, sizeof *job->source);
    if (!job->source)
        return tr_fail(err, TR_FAILED, "out of memory for %d names", job->path_count);
    for (int i = 0; i < job->path_count; i++) {
        enum tr_status status = tr_source_find(&job->source[i], job->path[i], err);
        if (status != TR_OK)
            return status;
        if (job->source[i].shards != shards)
            return tr_fail(err, TR_BAD_INPUT, shards ? "%s: holds no shards (files named *%s)" : "%s: holds shards of "
                           "tokens (*%s, *%s, *%s), and this takes text", job->path[i], TR_SHARD_ENDING,
                           TR_SHARD_BIN_ENDING, TR_SHARD_IDX_ENDING);
        job->all_bytes += job->source[i].bytes;
    }
    return TR_OK;
}

static void free_sources(struct job *job)
{
    for (int i = 0; job->source && i < job->path_count; i++)
        tr_source_free(&job->source[i]);
    free(job->source);
}

typedef enum tr_status file_fn(struct job *job, const struct tr_source_file *file, void *context, struct tr_err *err);

static enum tr_status each_file(struct job *job, const char *what, file_fn *fn, void *context, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    double begin_s = tr_clock_s();
    tr_progress_start(&job->bar, job->args->quiet ? NULL : stderr, what, "B", job->all_bytes);
    for (int i = 0; i < job->path_count && status == TR_OK; i++)
        for (int64_t k = 0; k < job->source[i].count && status == TR_OK; k++) {
            status = fn(job, &job->source[i].file[k], context, err);
            job->result.files++;
            job->done_bytes += job->source[i].file[k].bytes;
            tr_progress_update(&job->bar, job->done_bytes, "%lld tokens", (long long)job->result.tokens);
        }
    job->result.seconds = tr_clock_s() - begin_s;
    if (status == TR_OK)
        tr_progress_end(&job->bar);
    return status;
}

/* ---- encode and count -------------------------------------------------------------------------------------------- */

struct encoding {
    struct job *job;
    struct tr_document document;
    struct tr_shards *shards; /* NULL: only counted */
};

/* What was written aside so far is removed. */
static enum tr_status go_on(struct tr_err *err)
{
    if (tr_app_signal == 0)
        return TR_OK;
    return tr_fail(err, TR_FAILED, "interrupted by %s: nothing was written", tr_signal_name(tr_app_signal));
}

static enum tr_status take_tokens(void *context, const struct tr_ids *ids, struct tr_err *err)
{
    struct encoding *e = context;
    enum tr_status status = go_on(err);
    if (status != TR_OK)
        return status;
    e->job->result.tokens += ids->count;
    return e->shards ? tr_shards_add(e->shards, ids->at, ids->count, err) : TR_OK;
}

static enum tr_status encode_file(struct job *job, const struct tr_source_file *file, void *context, struct tr_err *err)
{
    struct encoding *e = context;
    enum tr_status status = tr_document_start(&e->document, file, err);
    while (status == TR_OK && (status = tr_document_next(&e->document, err)) == TR_OK) {
        status = tr_document_encode(&e->document, e->shards != NULL, take_tokens, e, err);
        if (status == TR_OK && e->shards)
            tr_shards_end_document(e->shards, e->document.bytes);
        job->result.text_bytes += e->document.bytes;
    }
    return status == TR_NO ? TR_OK : status;
}

static enum tr_status need(const char *value, const char *option, const char *action, struct tr_err *err)
{
    if (value)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "tokenize %s needs --%s", action, option);
}

static enum tr_status encode(struct job *job, bool count_only, struct tr_err *err)
{
    const struct tokenize_args *args = job->args;
    struct encoding e = {.job = job};
    struct tr_shards shards = {0};
    struct tr_token *token = NULL;
    enum tr_status status = need(args->tokenizer, "tokenizer", args->action, err);
    if (status == TR_OK && !count_only)
        status = need(args->out, "out", args->action, err);
    if (status == TR_OK)
        status = find_sources(job, false, err);
    if (status == TR_OK)
        status = tr_import_token(args->tokenizer, &token, err);
    if (status != TR_OK)
        return status;
    status = tr_document_open(&e.document, token, !count_only, err);
    e.document.encoding = (enum tr_encoding)args->encoding;
    if (status == TR_OK && !count_only)
        status = tr_app_catch_signals(err);
    if (status == TR_OK && !count_only) {
        status = tr_shards_open(&shards, args->out, token, args->tokenizer, args->shard_tokens, err);
        e.shards = &shards;
    }
    if (status == TR_OK)
        status = each_file(job, args->action, encode_file, &e, err);
    if (status == TR_OK && !count_only)
        status = tr_shards_commit(&shards, err);
    job->result.shards = shards.count;
    tr_shards_abort(&shards);
    tr_document_close(&e.document);
    tr_token_free(token);
    return status;
}

/* ---- decode ------------------------------------------------------------------------------------------------------ */

struct decoding {
    const struct tr_token *token;
    struct tr_file_out *file; /* NULL: standard output */
    struct tr_text text;
};

static enum tr_status put(struct decoding *d, struct tr_err *err)
{
    if (d->file)
        return tr_file_out_write(d->file, d->text.at, d->text.len, err);
    if (fwrite(d->text.at, 1, d->text.len, stdout) != d->text.len)
        return tr_fail(err, TR_FAILED, "standard output cannot be written");
    return TR_OK;
}

/* The end of a document is left out; what else is a token is text. */
static enum tr_status decode_tokens(struct job *job, struct decoding *d, const struct tr_shard *shard,
                                    const void *tokens, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int64_t at = 0; at < shard->tokens && status == TR_OK; at += DECODE_AT_ONCE) {
        tr_text_clear(&d->text);
        for (int64_t i = at; i < shard->tokens && i < at + DECODE_AT_ONCE && status == TR_OK; i++) {
            int32_t id = tr_shard_token(tokens, shard->width, i);
            if (id != shard->end)
                status = tr_decode(d->token, &id, 1, 0, &d->text, err);
        }
        if (status == TR_OK && d->text.len > 0)
            status = put(d, err);
        job->result.text_bytes += (int64_t)d->text.len;
        if (status == TR_OK)
            status = go_on(err);
    }
    return status;
}

static enum tr_status decode_file(struct job *job, const struct tr_source_file *file, void *context, struct tr_err *err)
{
    struct decoding *d = context;
    struct tr_shard shard;
    enum tr_status status = tr_shard_read_header(file->path, &shard, err);
    if (status == TR_OK)
        status = tr_shard_match(file->path, &shard, d->token, err);
    void *tokens = status == TR_OK ? malloc((size_t)(shard.tokens * shard.width)) : NULL;
    if (status == TR_OK && !tokens)
        status = tr_fail(err, TR_FAILED, "%s: out of memory for its %lld tokens", file->path, (long long)shard.tokens);
    if (status == TR_OK)
        status = tr_shard_read(file->path, &shard, tokens, err);
    if (status == TR_OK)
        status = decode_tokens(job, d, &shard, tokens, err);
    free(tokens);
    job->result.tokens += shard.tokens * (status == TR_OK);
    return status;
}

static enum tr_status decode(struct job *job, struct tr_err *err)
{
    const struct tokenize_args *args = job->args;
    char path[TR_PATH_BYTES];
    struct tr_file_out out = {0};
    struct tr_token *token = NULL;
    struct decoding d = {.file = args->out ? &out : NULL};
    enum tr_status status = find_sources(job, true, err);
    if (status == TR_OK)
        status = tr_data_find_tokenizer(job->path[0], args->tokenizer ? args->tokenizer : "", path, err);
    if (status == TR_OK)
        status = tr_import_token(path, &token, err);
    if (status == TR_OK && args->out)
        status = tr_app_catch_signals(err);
    if (status == TR_OK && args->out)
        status = tr_file_out_open(&out, args->out, err);
    d.token = token;
    if (status == TR_OK)
        status = each_file(job, "decode", decode_file, &d, err);
    if (status == TR_OK && args->out)
        status = tr_file_out_commit(&out, err);
    else
        tr_file_out_abort(&out);
    tr_text_free(&d.text);
    tr_token_free(token);
    return status;
}

/* ---- chat -------------------------------------------------------------------------------------------------------- */

struct talking {
    struct tr_talk talk;
    struct tr_text line;
};

static void write_talk(struct talking *t)
{
    tr_text_clear(&t->line);
    struct tr_json json = tr_json_start(&t->line, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "text", tr_text_str(&t->talk.text.text));
    tr_json_array(&json, "ids");
    for (int64_t i = 0; i < t->talk.tokens.ids.count; i++)
        tr_json_int(&json, NULL, t->talk.tokens.ids.at[i]);
    tr_json_end(&json);
    tr_json_array(&json, "learned");
    for (int64_t i = 0; i < t->talk.tokens.ids.count; i++)
        tr_json_int(&json, NULL, t->talk.tokens.learned[i]);
    tr_json_end(&json);
    tr_json_end(&json);
    tr_text_char(&t->line, '\n');
}

static enum tr_status show_file(struct job *job, const struct tr_source_file *file, void *context, struct tr_err *err)
{
    struct talking *t = context;
    enum tr_status status = tr_talk_start(&t->talk, file, err);
    while (status == TR_OK && (status = tr_talk_next(&t->talk, err)) == TR_OK) {
        write_talk(t);
        if (tr_text_failed(&t->line, err))
            return TR_FAILED;
        if (fwrite(t->line.at, 1, t->line.len, stdout) != t->line.len)
            return tr_fail(err, TR_FAILED, "standard output cannot be written");
        job->result.tokens += t->talk.tokens.ids.count;
    }
    return status == TR_NO ? TR_OK : status;
}

static enum tr_status chat(struct job *job, struct tr_err *err)
{
    const struct tokenize_args *args = job->args;
    struct tr_token *token = NULL;
    struct tr_manner manner = {0};
    struct talking t = {0};
    const struct tr_chat *which = NULL;
    enum tr_status status = need(args->tokenizer, "tokenizer", args->action, err);
    if (status == TR_OK)
        status = find_sources(job, false, err);
    if (status == TR_OK)
        status = tr_import_token(args->tokenizer, &token, err);
    if (status == TR_OK)
        status = tr_manner_find(&manner, args->tokenizer, token, args->chat_template ? args->chat_template : "", err);
    if (status == TR_OK)
        status = tr_manner_chat(&manner, args->tokenizer, &which, err);
    if (status == TR_OK)
        status = tr_talk_open(&t.talk, which, token, err);
    if (status == TR_OK)
        status = each_file(job, "chat", show_file, &t, err);
    tr_talk_close(&t.talk);
    tr_text_free(&t.line);
    tr_manner_free(&manner);
    tr_token_free(token);
    return status;
}

/* ---- train ------------------------------------------------------------------------------------------------------- */

static enum tr_status split_special(const char *list, char *copy, const char *special[SPECIAL_MAX], int *count,
                                    struct tr_err *err)
{
    char *rest = NULL;
    *count = 0;
    strcpy(copy, list);
    for (char *name = strtok_r(copy, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        if (*count == SPECIAL_MAX)
            return tr_fail(err, TR_BAD_INPUT, "--special: more than %d tokens", SPECIAL_MAX);
        if (strlen(name) > TR_TOKEN_ADDED_BYTES_MAX)
            return tr_fail(err, TR_BAD_INPUT, "--special: a token of more than %d bytes", TR_TOKEN_ADDED_BYTES_MAX);
        special[(*count)++] = name;
    }
    return TR_OK;
}

struct learning {
    struct tr_learner *learner;
    struct tr_document document; /* for its texts only */
};

static enum tr_status learn_document(struct learning *l, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    size_t at = 0, bytes = (size_t)l->document.bytes;
    while (status == TR_OK && at < bytes) {
        size_t part = tr_token_part(tr_learner_form(l->learner), l->document.text + at, bytes - at,
                                    TR_DOCUMENT_PART_BYTES);
        status = tr_learner_add(l->learner, l->document.text + at, part, err);
        at += part;
    }
    return status;
}

static enum tr_status learn_file(struct job *job, const struct tr_source_file *file, void *context, struct tr_err *err)
{
    struct learning *l = context;
    enum tr_status status = tr_document_start(&l->document, file, err);
    while (status == TR_OK && (status = tr_document_next(&l->document, err)) == TR_OK) {
        status = learn_document(l, err);
        job->result.text_bytes += l->document.bytes;
    }
    return status == TR_NO ? TR_OK : status;
}

static enum tr_status merge_and_write(struct job *job, struct tr_learner *learner, struct tr_err *err)
{
    struct tr_token *token = NULL;
    double begin_s = tr_clock_s();
    tr_progress_start(&job->bar, job->args->quiet ? NULL : stderr, "merge", "token", job->args->vocab);
    enum tr_status status = tr_learner_finish(learner, &job->bar, &token, err);
    if (status == TR_OK) {
        tr_progress_end(&job->bar);
        job->result.seconds += tr_clock_s() - begin_s;
        job->result.tokens = tr_token_vocab(token);
        job->result.merges = tr_token_merge_count(token);
        job->result.pieces = tr_learner_pieces(learner);
        job->result.dropped = tr_learner_dropped(learner);
        status = tr_token_write(token, job->args->out, err);
    }
    tr_token_free(token);
    return status;
}

static enum tr_status train(struct job *job, struct tr_err *err)
{
    const struct tokenize_args *args = job->args;
    struct tr_token_spec form = {.source = "--pre"};
    const char *special[SPECIAL_MAX];
    struct tr_learn_config config = {.vocab = args->vocab, .min_count = args->min_count, .form = &form,
                                     .special = special};
    struct learning l = {.document = {.encoding = (enum tr_encoding)args->encoding}};
    char *names = malloc(strlen(args->special) + 1);
    if (!names)
        return tr_fail(err, TR_FAILED, "out of memory for the names of special tokens");
    enum tr_status status = need(args->out, "out", args->action, err);
    if (status == TR_OK)
        status = tr_file_probe(args->out, err);
    if (status == TR_OK)
        status = split_special(args->special, names, special, &config.special_count, err);
    if (status == TR_OK)
        status = tr_token_spec_pre(&form, pre_names[args->pre], err);
    form.ignore_merges = false; /* every token of a trained vocabulary has its merge */
    if (status == TR_OK)
        status = find_sources(job, false, err);
    if (status == TR_OK)
        status = tr_learner_make(&config, &l.learner, err);
    if (status == TR_OK)
        status = each_file(job, "read", learn_file, &l, err);
    if (status == TR_OK)
        status = merge_and_write(job, l.learner, err);
    tr_document_close(&l.document);
    tr_learner_free(l.learner);
    free(names);
    return status;
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static void write_json(const struct job *job, bool trained, struct tr_text *out)
{
    const struct result *r = &job->result;
    struct tr_json json = tr_json_start(out, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "action", job->args->action);
    tr_json_int(&json, "files", r->files);
    tr_json_int(&json, "bytes", r->text_bytes);
    tr_json_int(&json, trained ? "vocab" : "tokens", r->tokens);
    if (trained) {
        tr_json_int(&json, "merges", r->merges);
        tr_json_int(&json, "pieces", r->pieces);
        tr_json_int(&json, "dropped", r->dropped);
    } else {
        tr_json_double(&json, "bytes_per_token", r->tokens ? (double)r->text_bytes / (double)r->tokens : 0);
        tr_json_int(&json, "shards", r->shards);
    }
    tr_json_double(&json, "seconds", r->seconds);
    tr_json_double(&json, "mb_s", rate_mb_s(r));
    if (job->args->out)
        tr_json_string(&json, "out", job->args->out);
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

static void write_text(const struct job *job, bool trained, struct tr_text *out)
{
    const struct result *r = &job->result;
    char bytes[TR_QUANTITY_BYTES];
    tr_text_printf(out, "text      %lld %s, %s\n", (long long)r->files, r->files == 1 ? "file" : "files",
                   tr_print_bytes(bytes, r->text_bytes));
    if (trained)
        tr_text_printf(out, "tokens    %lld, of %lld merges and %lld distinct pieces\n", (long long)r->tokens,
                       (long long)r->merges, (long long)r->pieces);
    else
        tr_text_printf(out, "tokens    %lld, %.3f bytes each\n", (long long)r->tokens,
                       r->tokens ? (double)r->text_bytes / (double)r->tokens : 0);
    if (r->dropped)
        tr_text_printf(out, "dropped   %lld occurrences of rare pieces, to stay within memory\n",
                       (long long)r->dropped);
    tr_text_printf(out, "time      %.2f s, %.1f MB/s\n", r->seconds, rate_mb_s(r));
    if (job->args->out)
        tr_text_printf(out, "written   %s", job->args->out);
    if (r->shards)
        tr_text_printf(out, ", %lld %s", (long long)r->shards, r->shards == 1 ? "shard" : "shards");
    if (job->args->out)
        tr_text_char(out, '\n');
}

static enum tr_status act(struct job *job, struct tr_err *err)
{
    enum { TRAIN, ENCODE, DECODE, COUNT, CHAT, ACTIONS };
    static const char *const actions[] = {"train", "encode", "decode", "count", "chat"};
    const char *action = job->args->action;
    int which = 0;
    while (which < ACTIONS && strcmp(action, actions[which]) != 0)
        which++;
    if (which == ACTIONS) {
        int near = tr_nearest(action, actions, ACTIONS);
        return tr_fail(err, TR_BAD_INPUT, "ACTION %s: expected train, encode, decode, count or chat%s%s%s", action,
                       near >= 0 ? "; did you mean " : "", near >= 0 ? actions[near] : "", near >= 0 ? "?" : "");
    }
    enum tr_status status = which == TRAIN    ? train(job, err)
                            : which == DECODE ? decode(job, err)
                            : which == CHAT   ? chat(job, err)
                                              : encode(job, which == COUNT, err);
    if (status != TR_OK || which == CHAT || (which == DECODE && !job->args->out)) /* standard output is the text then */
        return status;
    struct tr_text text = {0};
    if (job->args->json)
        write_json(job, which == TRAIN, &text);
    else
        write_text(job, which == TRAIN, &text);
    return tr_app_print(&text, err);
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    struct tokenize_args *args = parsed;
    struct job job = {.args = args, .path = given->rest, .path_count = given->rest_count};
    enum tr_status status = act(&job, err);
    free_sources(&job);
    return status;
}

const struct tr_app_command tr_cmd_tokenize = {&command, sizeof(struct tokenize_args), run};
