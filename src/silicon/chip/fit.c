#include "silicon/chip/fit.h"

#include <string.h>

/* All fields of one entry into an array of facts, by index. */
static enum tr_status read_entry(const struct tr_entry *entry, const struct tr_field *fields, int count,
                                 struct tr_fact *facts, struct tr_err *err)
{
    struct tr_field by_index[TR_FIT_FIELDS_MAX];
    TR_ASSERT(count <= TR_FIT_FIELDS_MAX);
    for (int i = 0; i < count; i++) {
        TR_ASSERT(fields[i].kind == TR_FIELD_FACT);
        by_index[i] = fields[i];
        by_index[i].offset = (size_t)i * sizeof *facts;
    }
    return tr_entry_read(entry, "", by_index, count, facts, err);
}

enum tr_status tr_fit_read(const struct tr_entry *chip, const struct tr_field *fields, int count, void *target,
                           struct tr_err *err)
{
    struct tr_fact found[TR_FIT_FIELDS_MAX] = {{0}};
    for (const struct tr_entry *e = chip; e; e = e->base) {
        const struct tr_entry *entry = tr_catalog_look(chip->catalog, TR_SECTION_FITS, e->id), *holder;
        struct tr_fact here[TR_FIT_FIELDS_MAX] = {{0}};
        enum tr_status status = entry ? read_entry(entry, fields, count, here, err) : TR_OK;
        if (status != TR_OK)
            return status;
        for (int i = 0; i < count; i++) {
            if (tr_known(&found[i]) || !tr_known(&here[i]))
                continue;
            found[i] = here[i];
            tr_entry_node(entry, fields[i].path, &holder);
            if (!tr_names_equal(holder->id, chip->id) && found[i].grade < TR_GRADE_TRANSFERRED)
                found[i].grade = TR_GRADE_TRANSFERRED;
        }
    }
    for (int i = 0; i < count; i++)
        if (tr_known(&found[i]))
            memcpy((char *)target + fields[i].offset, &found[i], sizeof found[i]);
    return TR_OK;
}

enum tr_status tr_fit_check_all(const struct tr_catalog *catalog, const struct tr_field *fields, int count,
                                struct tr_err *err)
{
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_FITS); i++) {
        const struct tr_entry *entry = tr_catalog_entry(catalog, TR_SECTION_FITS, i), *chip;
        struct tr_fact facts[TR_FIT_FIELDS_MAX] = {{0}};
        struct tr_err why;
        if (tr_catalog_find(catalog, TR_SECTION_CHIPS, entry->id, &chip, &why))
            return tr_entry_fail(entry, err, "%s", why.text);
        if (!tr_names_equal(chip->id, entry->id))
            return tr_entry_fail(entry, err, "fits stand under the chip's own id, %s", chip->id);
        enum tr_status status = read_entry(entry, fields, count, facts, err);
        if (status != TR_OK)
            return status;
    }
    return TR_OK;
}
