/* Any bytes as the profile.json of a run folder: refused with a sentence, or numbers within their ranges. */
#include "lab/train/profile.h"
#include "folder.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct tr_run_profile profile;
    struct tr_err err = {""};
    if (!folder[0])
        folder_make();
    folder_put("profile.json", (const char *)data, bytes);
    enum tr_status status = tr_run_profile_read(folder, 0, &profile, &err);
    TR_ASSERT(status == TR_BAD_INPUT ? err.text[0] != 0 : status == TR_OK);
    TR_ASSERT(status != TR_OK || (profile.steps >= 0 && profile.threads >= 1 && profile.ranks >= 1 && profile.steps_s >= 0));
    TR_ASSERT(status != TR_OK || (profile.each_count <= TR_PROFILE_RANKS_MAX && profile.each_count <= profile.ranks));
    TR_ASSERT(status != TR_OK || (tr_run_profile_crowded(&profile) >= 0 && tr_run_profile_crowded(&profile) <= 1));
    return 0;
}
