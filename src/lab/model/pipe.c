#include "lab/model/pipe.h"

#include "base/num.h"

int32_t tr_pipe_share(int32_t layers, int32_t chunks, int32_t c)
{
    int32_t rest = layers % chunks, skip = (chunks - rest) / 2;
    return layers / chunks + (c >= skip && c < skip + rest);
}

int32_t tr_pipe_chunk_layers(int32_t layers, int32_t chunks, int32_t c)
{
    TR_ASSERT(chunks >= 1 && c >= 0 && c < chunks);
    if (chunks > 1 && layers % chunks != 0 && (layers + 2) % chunks == 0)
        return (layers + 2) / chunks - (c == 0) - (c == chunks - 1);
    return tr_pipe_share(layers, chunks, c);
}

/* With several chunks microbatches go in whole groups of `stages`: the last group is filled up with ones that are not there. */
static int64_t filled_up(struct tr_pipe pipe, int64_t micros)
{
    return pipe.chunks > 1 ? tr_round_up(micros, pipe.stages) : micros;
}

int64_t tr_pipe_turns(struct tr_pipe pipe, int64_t micros) { return 2 * filled_up(pipe, micros) * pipe.chunks; }

int64_t tr_pipe_warm(struct tr_pipe pipe, int32_t stage, int64_t micros)
{
    int64_t after = pipe.stages - stage - 1, p = pipe.stages, v = pipe.chunks;
    return tr_min_i64(tr_pipe_turns(pipe, micros) / 2, v > 1 ? 2 * after + (v - 1) * p : after);
}

/* Number k of the forward turns: a group through one chunk after the other. Backward turns take the chunks the other way round. */
static struct tr_pipe_turn turn_of(struct tr_pipe pipe, bool backward, int64_t k)
{
    int64_t p = pipe.stages, v = pipe.chunks, group = k / (p * v);
    int32_t chunk = (int32_t)(k / p % v);
    return (struct tr_pipe_turn){backward, backward ? pipe.chunks - 1 - chunk : chunk, group * p + k % p};
}

struct tr_pipe_turn tr_pipe_turn(struct tr_pipe pipe, int64_t micros, int64_t warm, int64_t index)
{
    int64_t all = tr_pipe_turns(pipe, micros) / 2, pairs = all - warm, after_warm = index - warm;
    TR_ASSERT(index >= 0 && index < 2 * all && warm >= 0 && warm <= all);
    if (after_warm < 0)
        return turn_of(pipe, false, index);
    if (after_warm >= 2 * pairs)
        return turn_of(pipe, true, after_warm - pairs);
    bool backward = after_warm % 2;
    return turn_of(pipe, backward, backward ? after_warm / 2 : warm + after_warm / 2);
}

int64_t tr_pipe_flights(struct tr_pipe pipe, int32_t stage, int64_t micros)
{
    return tr_min_i64(micros * pipe.chunks, tr_pipe_warm(pipe, stage, micros) + 1);
}

double tr_pipe_bubble(struct tr_pipe pipe, int64_t micros)
{
    return (double)(pipe.stages - 1) / (double)(pipe.stages - 1 + micros * pipe.chunks);
}
