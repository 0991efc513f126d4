/* Any line as the answer of squeue or of sacct: a state with strings that end and hold no control characters, or a sentence. */
#include "cloud/job/job.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_word(const char *word, size_t room)
{
    size_t len = strnlen(word, room);
    TR_ASSERT(len < room);
    for (size_t i = 0; i < len; i++)
        TR_ASSERT((unsigned char)word[i] >= ' ' && word[i] != 127);
}

static void check(enum tr_status status, const struct tr_slurm_state *s)
{
    TR_ASSERT(status == TR_OK || status == TR_BAD_INPUT);
    if (status != TR_OK)
        return;
    TR_ASSERT(s->state[0] && s->restarts >= -1);
    check_word(s->state, sizeof s->state);
    check_word(s->reason, sizeof s->reason);
    check_word(s->nodes, sizeof s->nodes);
    check_word(s->used, sizeof s->used);
    check_word(s->left, sizeof s->left);
    check_word(s->exit_code, sizeof s->exit_code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_slurm_state state;
    struct tr_err err = {""};
    char *line = malloc(bytes + 1); /* of its size, so that a read beyond it is seen */
    if (!line)
        return 0;
    if (bytes)
        memcpy(line, data, bytes);
    line[bytes] = 0;
    check(tr_slurm_queue_parse(line, &state, &err), &state);
    check(tr_slurm_account_parse(line, &state, &err), &state);
    free(line);
    return 0;
}
