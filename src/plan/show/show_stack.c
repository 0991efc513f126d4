/* Software stacks: what they are like, and every number that prices by them. */
#include "plan/show/inside.h"
#include "plan/stack/stack.h"

static const char *like_of(const struct tr_stack *stack) { return stack->entry->base ? stack->entry->base->id : NULL; }

static void write_json(struct tr_json *json, const struct tr_stack *stack)
{
    int count;
    const struct tr_field *fields = tr_stack_fields(&count);
    tr_json_object(json, NULL);
    tr_json_string(json, "id", stack->name);
    tr_json_string(json, "about", stack->about);
    tr_json_string(json, "like", like_of(stack));
    tr_json_array(json, "frameworks");
    for (int i = 0; i < stack->framework_count; i++)
        tr_json_string(json, NULL, stack->framework[i]);
    tr_json_end(json);
    tr_json_array(json, "cannot");
    for (int i = 0; i < TR_ABILITY_COUNT; i++)
        if (stack->cannot & 1u << i)
            tr_json_string(json, NULL, tr_ability_name((enum tr_ability)i));
    tr_json_end(json);
    tr_facts_json(fields, count, stack, json);
    tr_json_end(json);
}

static void write_row(struct tr_table *table, const struct tr_stack *stack)
{
    char value[TR_QUANTITY_BYTES];
    tr_table_cell(table, "%s", stack->name);
    tr_table_cell(table, "%s", like_of(stack) ? like_of(stack) : "");
    tr_table_cell(table, "%s", tr_fact_text(&stack->error, TR_UNIT_RATIO, value));
    tr_table_cell(table, "%s", tr_fact_text(&stack->memory_error, TR_UNIT_RATIO, value));
    tr_table_cell(table, "%s", stack->about);
}

static enum tr_status list_stack(struct tr_showing *s, const struct tr_entry *entry, struct tr_table *table)
{
    struct tr_stack stack;
    enum tr_status status = tr_stack_read(entry, &stack, s->err);
    if (status == TR_OK && table)
        write_row(table, &stack);
    else if (status == TR_OK)
        write_json(&s->json, &stack);
    return status;
}

enum tr_status tr_show_stacks(struct tr_showing *s)
{
    static const struct tr_listing listing = {
        TR_SECTION_STACKS,
        {{"stack", TR_LEFT}, {"like", TR_LEFT}, {"time +-", TR_RIGHT}, {"memory +-", TR_RIGHT}, {"what it is", TR_LEFT}},
        list_stack,
        "\n+-: half widths of the 80 % intervals that it adds.\n`trine show stack NAME`: every number with its source.\n"};
    return tr_show_list(s, &listing);
}

static void write_words(const struct tr_stack *stack, struct tr_text *out)
{
    tr_text_printf(out, "%s: %s\n", stack->name, stack->about);
    if (like_of(stack))
        tr_text_printf(out, "like        %s\n", like_of(stack));
    for (int i = 0; i < stack->framework_count; i++)
        tr_text_printf(out, "%s%s", i ? ", " : "called      ", stack->framework[i]);
    tr_text_append(out, stack->framework_count ? "\n" : "");
    bool any = false;
    for (int i = 0; i < TR_ABILITY_COUNT; i++)
        if (stack->cannot & 1u << i) {
            tr_text_printf(out, "%s%s", any ? ", " : "cannot      ", tr_ability_name((enum tr_ability)i));
            any = true;
        }
    tr_text_append(out, any ? "\n\n" : "\n");
}

enum tr_status tr_show_stack(struct tr_showing *s)
{
    struct tr_stack stack;
    struct tr_source_list sources = {.count = 0};
    int count;
    const struct tr_field *fields = tr_stack_fields(&count);
    enum tr_status status = tr_stack_find(s->catalog, s->name, &stack, s->err);
    if (status != TR_OK)
        return status;
    if (s->options->json) {
        write_json(&s->json, &stack);
        return TR_OK;
    }
    write_words(&stack, s->out);
    tr_facts_table(fields, count, &stack, s->out);
    tr_sources_add(&sources, fields, count, &stack);
    tr_sources_text(&sources, s->out);
    return TR_OK;
}
