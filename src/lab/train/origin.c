#include "lab/train/origin.h"

#include "lab/data/data.h"
#include "lab/exchange/exchange.h"
#include "lab/train/checkpoint.h"

#include <stdlib.h>
#include <string.h>

static enum tr_status from_checkpoint(struct tr_origin *origin, struct tr_err *err)
{
    struct tr_train_state *state = malloc(sizeof *state);
    if (!state)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *state);
    enum tr_status status = tr_checkpoint_read_model(origin->path, &origin->model, err);
    if (status == TR_OK)
        status = tr_checkpoint_read_state(origin->path, state, err);
    if (status == TR_OK) {
        origin->is_checkpoint = true;
        origin->step = state->step;
        origin->dtype = tr_run_step_config(&state->config).dtype;
        origin->widths = tr_run_step_config(&state->config).widths;
        strcpy(origin->data, state->config.data);
        strcpy(origin->data_sha256, state->data_sha256);
        origin->reads_bytes = state->reads_bytes || origin->model.vocab == TR_BYTE_VOCAB;
        origin->encoding = state->config.encoding;
        origin->seq_len = state->config.seq_len;
        origin->apart = state->config.documents == TR_DOCUMENTS_APART;
        origin->val_windows = state->config.eval_windows;
        origin->val_fraction = state->config.val_fraction;
    }
    free(state);
    return status;
}

static enum tr_status from_files(struct tr_origin *origin, struct tr_err *err)
{
    struct tr_import import;
    enum tr_status status = tr_import_open(&import, origin->path, err);
    if (status != TR_OK)
        return status;
    origin->model = import.model;
    origin->reads_bytes = import.model.vocab == TR_BYTE_VOCAB;
    origin->dtype = TR_F32;
    origin->widths = (struct tr_widths){1, 1, 1, 1};
    if (import.has_token)
        strcpy(origin->tokenizer, origin->path);
    tr_import_close(&import);
    return TR_OK;
}

static enum tr_status look_for_tokenizer(struct tr_origin *origin, struct tr_err *err)
{
    char run[TR_PATH_BYTES];
    if (origin->tokenizer[0]) /* inside the file */
        return TR_OK;
    enum tr_status status = tr_path_join(origin->tokenizer, origin->path, "tokenizer.json", err);
    if (status == TR_OK && origin->is_checkpoint && !tr_file_exists(origin->tokenizer)) {
        status = tr_path_join(run, origin->path, "..", err); /* a run keeps one for all of its checkpoints */
        if (status == TR_OK)
            status = tr_path_join(origin->tokenizer, run, "tokenizer.json", err);
    }
    if (status == TR_OK && !tr_file_exists(origin->tokenizer))
        origin->tokenizer[0] = 0;
    return status;
}

/* By name: what torch.save writes is never opened. */
static bool is_pickle(const char *path)
{
    static const char *const ends[] = {".bin", ".pt", ".pth", ".ckpt", ".pkl"};
    static const char *const files[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    char inside[TR_PATH_BYTES];
    struct tr_err ignored;
    for (int i = 0; i < 2 && tr_folder_exists(path); i++)
        if (tr_path_join(inside, path, files[i], &ignored) == TR_OK && tr_file_exists(inside))
            return true;
    const char *dot = strrchr(path, '.');
    for (int i = 0; i < 5 && dot && !tr_folder_exists(path); i++)
        if (strcmp(dot, ends[i]) == 0)
            return true;
    return false;
}

/* A folder with a manifest is a checkpoint, one with checkpoints a run; what is left may be from elsewhere. */
static enum tr_status resolve(struct tr_origin *origin, const char *path, bool *is_checkpoint, struct tr_err *err)
{
    char inside[TR_PATH_BYTES];
    struct tr_err ignored;
    if (!tr_file_exists(path))
        return tr_fail(err, TR_BAD_INPUT, "%s: there is no such folder or file", path);
    enum tr_status status = tr_path_join(inside, path, "manifest.json", err);
    if (status != TR_OK)
        return status;
    *is_checkpoint = tr_file_exists(inside) || !tr_import_is(path);
    if (!*is_checkpoint) {
        strcpy(origin->path, path);
        return TR_OK;
    }
    if (tr_checkpoint_resolve(path, origin->path, &ignored) == TR_OK)
        return TR_OK;
    if (tr_path_join(inside, path, "adapter_config.json", &ignored) == TR_OK && tr_file_exists(inside))
        return tr_fail(err, TR_BAD_INPUT, "%s: holds adapters alone: name the model that they belong to, and this folder "
                       "with --adapter", path);
    if (is_pickle(path))
        return tr_fail(err, TR_BAD_INPUT, "%s: its weights are a pickle, which can run any code when it is read: trine "
                       "reads none; save the model as safetensors (save_pretrained of transformers does)", path);
    return tr_fail(err, TR_BAD_INPUT, "%s: is none of a checkpoint, a run folder that holds one, a Hugging Face folder "
                   "(config.json and model.safetensors) and a .gguf file", path);
}

enum tr_status tr_origin_find(struct tr_origin *origin, const char *path, struct tr_err *err)
{
    struct tr_origin found = {0};
    bool is_checkpoint = false;
    if (strlen(path) >= sizeof found.path)
        return tr_fail(err, TR_BAD_INPUT, "%.200s...: a path of more than %d bytes", path, TR_PATH_BYTES - 1);
    enum tr_status status = resolve(&found, path, &is_checkpoint, err);
    if (status == TR_OK)
        status = is_checkpoint ? from_checkpoint(&found, err) : from_files(&found, err);
    if (status == TR_OK)
        status = look_for_tokenizer(&found, err);
    if (status == TR_OK)
        *origin = found;
    return status;
}

/* A checkpoint without the adapters that `weights` may have been given since. */
static enum tr_status checkpoint_weights(const struct tr_origin *origin, const struct tr_weights *weights,
                                         float *const *w, struct tr_err *err)
{
    struct tr_weights own;
    struct tr_model_config model = origin->model;
    if (origin->adapter[0])
        model.lora = (struct tr_lora){0};
    enum tr_status status = tr_weights_make(&own, &model, err);
    if (status != TR_OK)
        return status;
    TR_ASSERT(own.count <= weights->count); /* adapters stand behind all others */
    struct tr_tensors tensors = {.weights = &own, .w = w};
    status = tr_checkpoint_read(origin->path, &tensors, err);
    tr_weights_free(&own);
    return status;
}

static enum tr_status own_weights(const struct tr_origin *origin, const struct tr_weights *weights, float *const *w,
                                  struct tr_err *err)
{
    struct tr_import import;
    if (origin->is_checkpoint)
        return checkpoint_weights(origin, weights, w, err);
    enum tr_status status = tr_import_open(&import, origin->path, err);
    if (status != TR_OK)
        return status;
    status = tr_import_weights(&import, weights, w, err);
    tr_import_close(&import);
    return status;
}

enum tr_status tr_origin_weights(const struct tr_origin *origin, const struct tr_weights *weights, float *const *w,
                                 struct tr_err *err)
{
    enum tr_status status = own_weights(origin, weights, w, err);
    if (status == TR_OK && origin->adapter[0])
        status = tr_import_adapter_weights(origin->adapter, &origin->model, weights, w, err);
    return status;
}

enum tr_status tr_origin_adapt(struct tr_origin *origin, const char *folder, struct tr_err *err)
{
    enum tr_status status = tr_import_adapter(folder, &origin->model, err);
    if (status == TR_OK && strlen(folder) >= sizeof origin->adapter)
        return tr_fail(err, TR_BAD_INPUT, "%.200s...: a path of more than %d bytes", folder, TR_PATH_BYTES - 1);
    if (status == TR_OK)
        strcpy(origin->adapter, folder);
    return status;
}

enum tr_status tr_origin_load(const struct tr_origin *origin, struct tr_exec *exec, struct tr_err *err)
{
    int32_t count = exec->program->weights.count;
    float **w = calloc((size_t)count, sizeof *w);
    if (w == NULL)
        return tr_fail(err, TR_FAILED, "out of memory for %d tensors", count);
    for (int32_t i = 0; i < count; i++)
        w[i] = tr_exec_weight(exec, i);
    enum tr_status status = tr_origin_weights(origin, &exec->program->weights, w, err);
    if (status == TR_OK)
        tr_exec_weights_written(exec);
    free(w);
    return status;
}

/* A GGUF file leaves out some of what a tokenizer.json says and pads the vocabulary, so there the ids count. */
static bool is_same_token(const struct tr_token *own, bool is_gguf, const struct tr_token *given)
{
    if (strcmp(tr_token_sha256(own), tr_token_sha256(given)) == 0)
        return true;
    if (!is_gguf || tr_token_vocab(given) > tr_token_vocab(own))
        return false;
    for (int64_t id = 0; id < tr_token_vocab(given); id++) {
        struct tr_string a = tr_token_bytes(own, id), b = tr_token_bytes(given, id);
        if (b.at && (!a.at || a.bytes != b.bytes || memcmp(a.at, b.at, (size_t)a.bytes) != 0))
            return false;
    }
    return true;
}

enum tr_status tr_origin_token_differs(const struct tr_origin *origin, const char *path, const struct tr_token *given,
                                       bool *differs, struct tr_err *err)
{
    struct tr_token *own = NULL;
    struct tr_err unread;
    *differs = false;
    if (origin->tokenizer[0] == 0 || strcmp(origin->tokenizer, path) == 0)
        return TR_OK;
    enum tr_status status = tr_import_token(origin->tokenizer, &own, &unread);
    if (status == TR_FAILED) {
        *err = unread;
        return status;
    }
    *differs = status == TR_OK && !is_same_token(own, tr_import_is_gguf(origin->tokenizer), given);
    tr_token_free(own);
    return TR_OK;
}

static enum tr_status check_own_token(const struct tr_origin *origin, const char *path, const struct tr_token *given,
                                      struct tr_err *err)
{
    bool differs;
    enum tr_status status = tr_origin_token_differs(origin, path, given, &differs, err);
    if (status == TR_OK && differs)
        status = tr_fail(err, TR_BAD_INPUT, "--tokenizer %s is not the tokenizer of %s (%s), whose ids it was trained "
                         "on: leave --tokenizer away", path, origin->path, origin->tokenizer);
    return status;
}

enum tr_status tr_origin_token(const struct tr_origin *origin, const char *given, struct tr_token **out,
                               struct tr_err *err)
{
    const char *path = given ? given : origin->tokenizer;
    struct tr_token *token = NULL;
    *out = NULL;
    if (path[0] == 0 && origin->reads_bytes)
        return TR_OK;
    if (path[0] == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: has a vocabulary of %lld tokens, and there is no tokenizer.json beside it: "
                       "name it with --tokenizer", origin->path, (long long)origin->model.vocab);
    enum tr_status status = tr_import_token(path, &token, err);
    if (status == TR_OK && tr_token_vocab(token) > origin->model.vocab)
        status = tr_fail(err, TR_BAD_INPUT, "%s: has %lld tokens, and the vocabulary of the model in %s is %lld: it is "
                         "the tokenizer of another model", path, (long long)tr_token_vocab(token), origin->path,
                         (long long)origin->model.vocab);
    if (status == TR_OK)
        status = check_own_token(origin, path, token, err);
    if (status != TR_OK) {
        tr_token_free(token);
        token = NULL;
    }
    *out = token;
    return status;
}

/* ---- how it is talked to ----------------------------------------------------------------------------------------- */

/* Ids that the tokenizer does not have (defaults of a library, say) end nothing. */
static void keep_known(struct tr_stops *stops, const struct tr_token *token)
{
    int kept = 0;
    for (int i = 0; i < stops->count; i++)
        if (stops->id[i] < tr_token_vocab(token) && tr_token_bytes(token, stops->id[i]).at)
            stops->id[kept++] = stops->id[i];
    stops->count = kept;
}

static void stop_at_turns(struct tr_manner *manner, const struct tr_token *token)
{
    struct tr_err ignored;
    int64_t turn, end = tr_token_end_id(token);
    if (tr_chat_end_id(manner->chat, token, &turn, &ignored) == TR_OK)
        manner->stops.id[manner->stops.count++] = (int32_t)turn;
    if (manner->stops.count && end >= 0 && end != turn)
        manner->stops.id[manner->stops.count++] = (int32_t)end;
}

enum tr_status tr_manner_find(struct tr_manner *manner, const char *path, const struct tr_token *token, const char *name,
                              struct tr_err *err)
{
    struct tr_err unknown;
    enum tr_status status = TR_OK;
    *manner = (struct tr_manner){0};
    if (name[0]) {
        status = tr_chat_choose(name, "", 0, "", &manner->chat, err);
        if (status == TR_OK)
            tr_text_append(&manner->text, tr_chat_jinja(manner->chat));
    } else if (path[0]) {
        status = tr_import_chat(path, &manner->text, err);
    }
    if (status == TR_OK && path[0])
        status = tr_import_stops(path, &manner->stops, err);
    if (status == TR_OK && tr_text_failed(&manner->text, err))
        status = TR_FAILED;
    if (status != TR_OK || !token)
        return status;
    if (!manner->chat && tr_chat_choose("", manner->text.at, manner->text.len, "", &manner->chat, &unknown) != TR_OK)
        manner->chat = NULL;
    keep_known(&manner->stops, token);
    if (manner->chat && manner->stops.count == 0)
        stop_at_turns(manner, token);
    return TR_OK;
}

void tr_manner_free(struct tr_manner *manner) { tr_text_free(&manner->text); }

enum tr_status tr_manner_chat(const struct tr_manner *manner, const char *source, const struct tr_chat **out,
                              struct tr_err *err)
{
    if (!manner->chat)
        return tr_chat_choose("", manner->text.at, manner->text.len, source, out, err);
    *out = manner->chat;
    return TR_OK;
}
