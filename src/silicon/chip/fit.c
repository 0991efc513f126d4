#include "silicon/chip/fit.h"

#include <string.h>

const struct tr_fit_info tr_fit_infos[TR_FIT_COUNT] = {
    [TR_FIT_GEMM_LAUNCH] = {"gemm.launch", TR_UNIT_TIME, 0, 1, "time of a matrix product that does nothing"},
    [TR_FIT_GEMM_MEMORY_SHARE] = {"gemm.memory_share", TR_UNIT_RATIO, 0, 1,
                                  "share of the memory's bandwidth that matrix products reach"},
};

enum tr_status tr_fit_read(const struct tr_entry *chip, struct tr_fact fit[TR_FIT_COUNT], struct tr_err *err)
{
    struct tr_field fields[TR_FIT_COUNT];
    struct tr_fact found[TR_FIT_COUNT];
    memcpy(found, fit, sizeof found);
    for (int i = 0; i < TR_FIT_COUNT; i++)
        fields[i] = (struct tr_field){.path = tr_fit_infos[i].path, .kind = TR_FIELD_FACT, .unit = tr_fit_infos[i].unit,
                                      .offset = (size_t)i * sizeof *fit, .min = tr_fit_infos[i].min,
                                      .max = tr_fit_infos[i].max};
    for (const struct tr_entry *e = chip; e; e = e->base) {
        const struct tr_entry *entry = tr_catalog_look(chip->catalog, TR_SECTION_FITS, e->id);
        struct tr_fact here[TR_FIT_COUNT] = {{0}};
        enum tr_status status = entry ? tr_entry_read(entry, "", fields, TR_FIT_COUNT, here, err) : TR_OK;
        if (status != TR_OK)
            return status;
        for (int i = 0; i < TR_FIT_COUNT; i++) {
            if (tr_known(&found[i]) || !tr_known(&here[i]))
                continue;
            const struct tr_entry *holder = NULL;
            tr_entry_node(entry, tr_fit_infos[i].path, &holder);
            bool own = tr_names_equal(holder->id, chip->id);
            found[i] = here[i];
            if (!own && found[i].grade < TR_GRADE_TRANSFERRED)
                found[i].grade = TR_GRADE_TRANSFERRED;
        }
    }
    memcpy(fit, found, sizeof found);
    return TR_OK;
}

enum tr_status tr_fit_check_all(const struct tr_catalog *catalog, struct tr_err *err)
{
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_FITS); i++) {
        const struct tr_entry *entry = tr_catalog_entry(catalog, TR_SECTION_FITS, i), *chip;
        struct tr_err why;
        if (tr_catalog_find(catalog, TR_SECTION_CHIPS, entry->id, &chip, &why))
            return tr_entry_fail(entry, err, "%s", why.text);
        if (!tr_names_equal(chip->id, entry->id))
            return tr_entry_fail(entry, err, "fits stand under the chip's own id, %s", chip->id);
    }
    return TR_OK;
}
