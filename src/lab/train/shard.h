/* A checkpoint that several ranks write, each its shard of the tensors (sharding.h), side by side. Internal to lab/train.
 *
 *     tr_checkpoint_begin(run_folder, step, attempt, folder, err)     one rank: RUN/step-N.tmp, empty
 *     tr_checkpoint_write_shard(folder, ..., shard, sums, err)        each
 *     tr_checkpoint_finish(&out, &split, sums of all, keep, err)      the one again: the other files, and the folder takes its name
 *     tr_checkpoint_give_up(folder, step, err)                        instead, when somebody failed
 *
 * Until the folder has its name the older checkpoints are as they were. tr_checkpoint_write is all of it with one shard. */
#ifndef TR_LAB_TRAIN_SHARD_H
#define TR_LAB_TRAIN_SHARD_H

#include "lab/train/checkpoint.h"
#include "lab/train/manifest.h"
#include "lab/train/sharding.h"

enum { TR_SHARD_FILES = 2, TR_FILE_PARTS_MAX = 2 };

/* Of a file, or of a tensor in it. */
struct tr_file_sum {
    int64_t bytes;
    uint8_t digest[TR_SHA256_BYTES];
};

/* What a file of tensors has, in its order, and how many arrays that is. */
int tr_file_parts(enum tr_checkpoint_file kind, const struct tr_tensors *tensors, struct tr_part parts[TR_FILE_PARTS_MAX]);

/* Tensors of a shard that these parts have. */
int64_t tr_sharding_tensors(const struct tr_sharding *split, int32_t shard, const struct tr_part *parts, int part_count);

/* How many sums a shard has: of its model file, of its optimizer file, of the tensors of the one and of the other. */
int64_t tr_shard_sums(const struct tr_sharding *split, int32_t shard);

/* `attempt` stands in the folder's name ("": nothing), so that a rank of an attempt that was thought dead cannot write into the
 * folder of the next one. Folders of saves that were not finished are removed. */
TR_MUST_CHECK enum tr_status tr_checkpoint_begin(const char *run_folder, int64_t step, const char *attempt,
                                                 char folder[TR_PATH_BYTES], struct tr_err *err);

/* Both files of a shard, synced. Of `tensors` those of the shard are read. sums: [tr_shard_sums]. */
TR_MUST_CHECK enum tr_status tr_checkpoint_write_shard(const char *folder, const struct tr_tensors *tensors,
                                                       const struct tr_sharding *split, int32_t shard, struct tr_file_sum *sums,
                                                       struct tr_err *err);

struct tr_checkpoint_out {
    const char *run_folder, *folder;
    const struct tr_model_config *model;
    const struct tr_train_state *state;
};

/* `sums` of all shards, one after the other. Gives up where it fails before the folder has its name. */
TR_MUST_CHECK enum tr_status tr_checkpoint_finish(const struct tr_checkpoint_out *out, const struct tr_sharding *split,
                                                  const struct tr_file_sum *sums, const struct tr_keep *keep, struct tr_err *err);

/* Removes the folder, and says in *err what was not written. */
void tr_checkpoint_give_up(const char *folder, int64_t step, struct tr_err *err);

/* Of the folder of a run: what saves that were not finished left; what is to go once `newest` is there. */
TR_MUST_CHECK enum tr_status tr_checkpoint_remove_unfinished(const char *run_folder, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_checkpoint_remove_older(const char *run_folder, int64_t newest, const struct tr_keep *keep,
                                                        struct tr_err *err);

#endif
