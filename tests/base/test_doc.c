#include "base/doc.h"
#include "base/json.h"
#include "base/os.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct tr_doc *parse(enum tr_doc_format format, const char *text)
{
    struct tr_doc *doc = NULL;
    struct tr_err err;
    if (tr_doc_parse("t", format, text, strlen(text), &doc, &err))
        fail_msg("%s", err.text);
    return doc;
}

/* The whole tree as one line of JSON: what a reader understood. */
static void check_tree(enum tr_doc_format format, const char *text, const char *json_expected)
{
    struct tr_doc *doc = parse(format, text);
    struct tr_text out = {0};
    struct tr_json json = tr_json_start(&out, TR_JSON_LINE);
    tr_node_write(tr_doc_root(doc), &json, NULL);
    assert_string_equal(tr_text_str(&out), json_expected);
    tr_text_free(&out);
    tr_doc_free(doc);
}

static void check_refused(enum tr_doc_format format, const char *text, const char *sentence)
{
    struct tr_doc *doc = (struct tr_doc *)&doc;
    struct tr_err err = {""};
    assert_int_equal(tr_doc_parse("t", format, text, strlen(text), &doc, &err), TR_BAD_INPUT);
    assert_ptr_equal(doc, &doc); /* untouched */
    if (!strstr(err.text, sentence))
        fail_msg("expected \"%s\" in: %s", sentence, err.text);
}

static void json_keeps_order_kinds_and_whole_numbers(void **state)
{
    (void)state;
    check_tree(TR_DOC_JSON,
               "{\"b\": [1, -2.5, 9223372036854775807], \"a\": {\"x\": null, \"y\": true}, \"c\": \"\\u00e9\"}",
               "{\"b\":[1,-2.5,9223372036854775807],\"a\":{\"x\":null,\"y\":true},\"c\":\"\xc3\xa9\"}");
    check_tree(TR_DOC_JSON, " 5 ", "5");
    check_tree(TR_DOC_JSON, "{}", "{}");
    check_tree(TR_DOC_JSON, "[\"[{,\\\"\", []]", "[\"[{,\\\"\",[]]");
}

static void bad_json_is_refused_with_its_place(void **state)
{
    (void)state;
    check_refused(TR_DOC_JSON, "", "t: empty, expected JSON");
    check_refused(TR_DOC_JSON, "{\"a\": 1,\n \"a\": 2}", "t:2:");
    check_refused(TR_DOC_JSON, "{\"a\": 1,\n \"a\": 2}", "duplicate");
    check_refused(TR_DOC_JSON, "[1,]", "not valid JSON");
    check_refused(TR_DOC_JSON, "{\"a\": 1} x", "not valid JSON");
    check_refused(TR_DOC_JSON, "{\"a\": 1,\n \"b\"", "not valid JSON: it ends in the middle: the file is cut short");
    check_refused(TR_DOC_JSON, "[1, \"a", "the file is cut short");
    check_refused(TR_DOC_JSON, "[NaN]", "not valid JSON");
    check_refused(TR_DOC_JSON, "[9223372036854775808]", "too big integer");
    check_refused(TR_DOC_JSON, "[1e999]", "real number overflow");
    check_refused(TR_DOC_JSON, "[\"\\ud800\"]", "not valid JSON");
    check_refused(TR_DOC_JSON, "[\"\\u0000\"]", "not valid JSON");
    check_refused(TR_DOC_JSON, "[\"\xff\"]", "not valid JSON");
}

static void nesting_beyond_the_limit_is_refused_in_both_formats(void **state)
{
    (void)state;
    char text[300] = "";
    memset(text, '[', TR_DOC_MAX_DEPTH);
    memset(text + TR_DOC_MAX_DEPTH, ']', TR_DOC_MAX_DEPTH);
    tr_doc_free(parse(TR_DOC_JSON, text));
    tr_doc_free(parse(TR_DOC_YAML, text));
    memset(text, '[', TR_DOC_MAX_DEPTH + 1);
    memset(text + TR_DOC_MAX_DEPTH + 1, ']', TR_DOC_MAX_DEPTH + 1);
    check_refused(TR_DOC_JSON, text, "t:1:65: nested more than 64 levels deep");
    check_refused(TR_DOC_YAML, text, "t:1:65: nested more than 64 levels deep");
}

static void more_values_than_the_limit_are_refused_before_they_take_memory(void **state)
{
    (void)state;
    struct tr_doc *doc;
    struct tr_err err;
    const char *text = "[1, 2, 3, 4]";
    for (int format = TR_DOC_JSON; format <= TR_DOC_YAML; format++) {
        enum tr_doc_format kind = (enum tr_doc_format)format;
        assert_int_equal(tr_doc_parse_limited("t", kind, text, 12, 12, 5, &doc, &err), TR_OK);
        tr_doc_free(doc);
        assert_int_equal(tr_doc_parse_limited("t", kind, text, 12, 12, 4, &doc, &err), TR_BAD_INPUT);
        assert_non_null(strstr(err.text, "more than the limit of 4 values"));
        assert_int_equal(tr_doc_parse_limited("t", kind, text, 12, 11, 5, &doc, &err), TR_BAD_INPUT);
        assert_non_null(strstr(err.text, "12 bytes, more than the limit of 11"));
    }
}

static void yaml_scalars_have_the_types_of_the_core_schema(void **state)
{
    (void)state;
    check_tree(TR_DOC_YAML, "[~, null, NULL, x]", "[null,null,null,\"x\"]");
    check_tree(TR_DOC_YAML, "[true, False, yes, on, No]", "[true,false,\"yes\",\"on\",\"No\"]");
    check_tree(TR_DOC_YAML, "[1, -2, +3, 007, 0o17, 0x1F, 1_000, 0b1, 0x]",
               "[1,-2,3,7,15,31,\"1_000\",\"0b1\",\"0x\"]");
    check_tree(TR_DOC_YAML, "[1.5, .5, 5., 1e3, -1E-2, 1e, ., +.5, 1.2.3]",
               "[1.5,0.5,5,1000,-0.01,\"1e\",\".\",0.5,\"1.2.3\"]");
    check_tree(TR_DOC_YAML, "['5', \"true\", '', 80GiB, 12:30]", "[\"5\",\"true\",\"\",\"80GiB\",\"12:30\"]");
    check_tree(TR_DOC_YAML, "[.inf, -.INF, .nan, inf]", "[null,null,null,\"inf\"]");
    check_tree(TR_DOC_YAML, "a: |\n  one\n  two\nb: >-\n  x\n  y\n", "{\"a\":\"one\\ntwo\\n\",\"b\":\"x y\"}");
    check_tree(TR_DOC_YAML, "# only\n1: {}\n? \"k\"\n: []\n", "{\"1\":{},\"k\":[]}");
}

static void what_yaml_offers_beyond_a_plain_tree_is_refused_with_its_place(void **state)
{
    (void)state;
    check_refused(TR_DOC_YAML, "a: &x 1\nb: *x\n", "t:1:4: anchors (&name) are not accepted");
    check_refused(TR_DOC_YAML, "a: 1\nb: *x\n", "t:2:4: aliases (*name) are not accepted");
    check_refused(TR_DOC_YAML, "*x : 1\n", "aliases");
    check_refused(TR_DOC_YAML, "a: !!str 5\n", "t:1:4: tags (!name) are not accepted");
    check_refused(TR_DOC_YAML, "!!map {}\n", "tags");
    check_refused(TR_DOC_YAML, "a:\n  <<: {b: 1}\n", "t:2:3: merge keys");
    check_refused(TR_DOC_YAML, "[a, b]: 1\n", "expected a name as key");
    check_refused(TR_DOC_YAML, "? \n: 1\n", "a key is missing");
    check_refused(TR_DOC_YAML, "a: 1\n---\nb: 2\n", "t:2:1: a second document");
    check_refused(TR_DOC_YAML, "# nothing\n", "t: empty");
    check_refused(TR_DOC_YAML, "a: \"\\0\"\n", "U+0000");
    check_refused(TR_DOC_YAML, "a: \xff\n", "t: not valid YAML");
    check_refused(TR_DOC_YAML, "a: [1, 2\n", "not valid YAML");
    check_refused(TR_DOC_YAML, "a: 1\n b: 2\n", "t:2:");
    check_refused(TR_DOC_YAML, "a: 99999999999999999999\n", "t:1:4: 99999999999999999999: a whole number");
    check_refused(TR_DOC_YAML, "a: 1e999\n", "too large a number");
}

static void a_duplicate_key_is_refused_also_among_many(void **state)
{
    (void)state;
    check_refused(TR_DOC_YAML, "a: 1\nb: 2\na: 3\n", "t:3:1: a: the key stands here twice");
    char text[2000] = "";
    for (int i = 0; i < 100; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "k%d: 1\n", i * 37 % 100);
    tr_doc_free(parse(TR_DOC_YAML, text));
    strcat(text, "k50: 1\n");
    check_refused(TR_DOC_YAML, text, "t:101:1: k50: the key stands here twice");
}

static void every_key_of_a_large_object_is_found(void **state)
{
    (void)state;
    struct tr_text text = {0};
    tr_text_append(&text, "{");
    for (int i = 0; i < 3000; i++)
        tr_text_printf(&text, "%s\"key%d\":%d", i ? "," : "", i * 7 % 3000, i);
    tr_text_append(&text, "}");
    struct tr_doc *doc = parse(TR_DOC_JSON, tr_text_str(&text));
    const struct tr_node *root = tr_doc_root(doc);
    for (int i = 0; i < 3000; i++) {
        char key[20];
        snprintf(key, sizeof key, "key%d", i * 7 % 3000);
        const struct tr_node *node = tr_doc_find(root, key);
        assert_non_null(node);
        assert_int_equal(node->integer, i);
        assert_int_equal(node->index, i); /* the file's order */
        assert_ptr_equal(node->parent, root);
    }
    assert_null(tr_doc_find(root, "key"));
    assert_null(tr_doc_find(root, "zzz"));
    tr_doc_free(doc);
    tr_text_free(&text);
}

static const char CONFIG[] = "model:\n"
                             "  layers: x\n"
                             "  width: 65\n"
                             "  rate: 1e3\n"
                             "  share: .nan\n"
                             "  name: gpt\n"
                             "  kind: lama\n"
                             "  memory: 80GB\n"
                             "  dims: [1, two]\n"
                             "  none:\n"
                             "flag: yes\n";

static void getters_return_values_in_range(void **state)
{
    (void)state;
    struct tr_doc *doc = parse(TR_DOC_YAML, CONFIG);
    struct tr_err err = {"untouched"};
    const struct tr_node *model, *dims;
    int64_t whole = 7;
    double real = 7;
    const char *name = NULL;
    assert_int_equal(tr_doc_object(tr_doc_root(doc), "model", TR_REQUIRED, &model, &err), TR_OK);
    assert_int_equal(tr_doc_int(model, "width", TR_REQUIRED, 1, 65, &whole, &err), TR_OK);
    assert_int_equal(whole, 65);
    assert_int_equal(tr_doc_int(model, "rate", TR_REQUIRED, INT64_MIN, INT64_MAX, &whole, &err), TR_OK);
    assert_int_equal(whole, 1000);
    assert_int_equal(tr_doc_double(model, "width", TR_OPTIONAL, 0, INFINITY, &real, &err), TR_OK);
    assert_true(real == 65);
    assert_int_equal(tr_doc_string(model, "name", TR_REQUIRED, &name, &err), TR_OK);
    assert_string_equal(name, "gpt");
    assert_int_equal(tr_node_quantity(tr_doc_find(model, "memory"), TR_UNIT_BYTES, 0, 1e12, &real, &err), TR_OK);
    assert_true(real == 80e9);
    assert_int_equal(tr_doc_array(model, "dims", TR_REQUIRED, 1, 2, &dims, &err), TR_OK);
    assert_int_equal(tr_node_int(&dims->children[0], 0, 9, &whole, &err), TR_OK);
    assert_int_equal(whole, 1);
    /* absent or null, and optional: the default stays */
    assert_int_equal(tr_doc_int(model, "absent", TR_OPTIONAL, 0, 9, &whole, &err), TR_OK);
    assert_int_equal(tr_doc_int(model, "none", TR_OPTIONAL, 0, 9, &whole, &err), TR_OK);
    assert_int_equal(whole, 1);
    assert_string_equal(err.text, "untouched");
    tr_doc_free(doc);
}

static void getters_complain_with_place_key_and_value(void **state)
{
    (void)state;
    struct tr_doc *doc = parse(TR_DOC_YAML, CONFIG);
    const struct tr_node *root = tr_doc_root(doc), *model = tr_doc_find(root, "model"), *got = NULL;
    struct tr_err err;
    int64_t whole = 7;
    double real = 7;
    bool flag = true;
    const char *name = NULL;
    int choice = 7;
    const char *const kinds[] = {"gpt2", "llama"};
#define COMPLAINS(call, sentence)                                                                                      \
    assert_int_equal((call), TR_BAD_INPUT);                                                                            \
    assert_string_equal(err.text, sentence)
    COMPLAINS(tr_doc_int(model, "layers", TR_REQUIRED, 1, 64, &whole, &err),
              "t:2:11: model.layers: expected a whole number from 1 to 64, got \"x\"");
    COMPLAINS(tr_doc_int(model, "width", TR_OPTIONAL, 1, 64, &whole, &err),
              "t:3:10: model.width: expected a whole number from 1 to 64, got 65");
    COMPLAINS(tr_doc_int(model, "width", TR_OPTIONAL, 100, INT64_MAX, &whole, &err),
              "t:3:10: model.width: expected a whole number of at least 100, got 65");
    COMPLAINS(tr_doc_int(model, "absent", TR_REQUIRED, 1, 64, &whole, &err),
              "t:2:3: model: the key \"absent\" is missing");
    COMPLAINS(tr_doc_int(model, "none", TR_REQUIRED, 1, 64, &whole, &err),
              "t:10:8: model.none: expected a whole number from 1 to 64, got nothing");
    COMPLAINS(tr_doc_double(model, "share", TR_REQUIRED, -INFINITY, INFINITY, &real, &err),
              "t:5:10: model.share: expected a number, got nan");
    COMPLAINS(tr_doc_double(model, "width", TR_REQUIRED, 0, 0.5, &real, &err),
              "t:3:10: model.width: expected a number from 0 to 0.5, got 65");
    COMPLAINS(tr_doc_bool(root, "flag", TR_REQUIRED, &flag, &err),
              "t:11:7: flag: expected true or false, got \"yes\"");
    COMPLAINS(tr_doc_string(model, "width", TR_REQUIRED, &name, &err), "t:3:10: model.width: expected a text, got 65");
    COMPLAINS(tr_doc_enum(model, "kind", TR_REQUIRED, kinds, 2, &choice, &err),
              "t:7:9: model.kind: expected one of gpt2 or llama, got \"lama\"; did you mean \"llama\"?");
    COMPLAINS(tr_node_quantity(tr_doc_find(model, "memory"), TR_UNIT_TIME, 0, 1, &real, &err),
              "t:8:11: model.memory: \"80GB\": expected a time such as 30d, 2h, 15min, 90s or 250ms");
    COMPLAINS(tr_node_quantity(tr_doc_find(model, "memory"), TR_UNIT_BYTES, 0, 1e9, &real, &err),
              "t:8:11: model.memory: expected a value from 0 B to 953.7 MiB, got \"80GB\"");
    COMPLAINS(tr_node_int(&tr_doc_find(model, "dims")->children[1], 0, 9, &whole, &err),
              "t:9:13: model.dims[1]: expected a whole number from 0 to 9, got \"two\"");
    COMPLAINS(tr_doc_array(model, "dims", TR_REQUIRED, 3, 3, &got, &err),
              "t:9:9: model.dims: expected a list of 3 to 3 values, got 2");
    COMPLAINS(tr_doc_object(root, "flag", TR_REQUIRED, &got, &err),
              "t:11:7: flag: expected a group of keys, got \"yes\"");
    COMPLAINS(tr_doc_int(tr_doc_find(root, "flag"), "x", TR_OPTIONAL, 0, 1, &whole, &err),
              "t:11:7: flag: expected a group of keys, got \"yes\"");
    assert_true(whole == 7 && real == 7 && flag && !name && choice == 7 && !got);
    tr_doc_free(doc);
}

static void an_unknown_key_names_the_nearest_known_one(void **state)
{
    (void)state;
    struct tr_doc *doc = parse(TR_DOC_YAML, "train:\n  step: 5\n  colour: 1\n");
    const struct tr_node *train = tr_doc_find(tr_doc_root(doc), "train");
    struct tr_err err;
    const char *const first[] = {"steps", "seed"}, *const second[] = {"step", "seed"};
    const char *const all[] = {"step", "colour"};
    COMPLAINS(tr_doc_known_keys(train, first, 2, &err), "t:2:3: train.step: unknown key; did you mean \"steps\"?");
    COMPLAINS(tr_doc_known_keys(train, second, 2, &err),
              "t:3:3: train.colour: unknown key; expected one of step or seed");
    assert_int_equal(tr_doc_known_keys(train, all, 2, &err), TR_OK);
    tr_doc_free(doc);
}

static void json_values_complain_by_key_where_the_line_is_unknown(void **state)
{
    (void)state;
    struct tr_doc *doc = parse(TR_DOC_JSON, "{\"a\": [{\"b\": \"x\\ny\"}]}");
    const struct tr_node *b = tr_doc_find(&tr_doc_find(tr_doc_root(doc), "a")->children[0], "b");
    struct tr_err err;
    int64_t whole;
    COMPLAINS(tr_node_int(b, 0, 1, &whole, &err), "t: a[0].b: expected a whole number from 0 to 1, got \"x y\"");
    tr_doc_free(doc);
}

static void a_very_long_path_is_cut_in_front(void **state)
{
    (void)state;
    struct tr_text text = {0};
    for (int i = 0; i < 40; i++)
        tr_text_printf(&text, "{\"a_rather_long_key_%02d\":", i);
    tr_text_append(&text, "1");
    tr_text_fill(&text, '}', 40);
    struct tr_doc *doc = parse(TR_DOC_JSON, tr_text_str(&text));
    const struct tr_node *node = tr_doc_root(doc);
    while (node->kind == TR_NODE_OBJECT)
        node = node->children;
    char path[TR_DOC_PATH_BYTES];
    tr_node_path(node, path);
    assert_true(strlen(path) < TR_DOC_PATH_BYTES && strlen(path) > TR_DOC_PATH_BYTES / 2);
    assert_memory_equal(path, "...", 3);
    assert_string_equal(path + strlen(path) - 20, "a_rather_long_key_39");
    tr_doc_free(doc);
    tr_text_free(&text);
}

static void overrides_replace_add_and_reach_deep(void **state)
{
    (void)state;
    struct tr_doc *doc = parse(TR_DOC_YAML, "train:\n  steps: 5\n  list: [1]\nempty:\n");
    struct tr_err err;
    static const char *const sets[][2] = {{"train.steps", "500"},    {"train.rate", "1e-3"}, {"new.deep.key", "a: *b"},
                                          {"empty.x", "true"},       {"train.list", "[2, {c: 3}]"},
                                          {"quoted", "\"5\""},       {"train.none", ""}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (tr_doc_override(doc, sets[i][0], sets[i][1], &err))
            fail_msg("%s", err.text);
    for (int i = 0; i < 20; i++) { /* beyond the size where an index by key is made */
        char key[20], value[20];
        snprintf(key, sizeof key, "many.k%d", i * 7 % 20);
        snprintf(value, sizeof value, "%d", i);
        assert_int_equal(tr_doc_override(doc, key, value, &err), TR_OK);
        const struct tr_node *many = tr_doc_find(tr_doc_root(doc), "many");
        assert_int_equal(tr_doc_find(many, key + 5)->integer, i);
    }
    assert_int_equal(tr_doc_override(doc, "many", "0", &err), TR_OK);
    struct tr_text out = {0};
    struct tr_json json = tr_json_start(&out, TR_JSON_LINE);
    tr_node_write(tr_doc_root(doc), &json, NULL);
    assert_string_equal(tr_text_str(&out),
                        "{\"train\":{\"steps\":500,\"list\":[2,{\"c\":3}],\"rate\":0.001,\"none\":null},"
                        "\"empty\":{\"x\":true},\"new\":{\"deep\":{\"key\":\"a: *b\"}},"
                        "\"quoted\":\"5\",\"many\":0}");
    int64_t whole;
    const struct tr_node *train = tr_doc_find(tr_doc_root(doc), "train");
    COMPLAINS(tr_doc_int(train, "steps", TR_REQUIRED, 1, 9, &whole, &err),
              "--train.steps: expected a whole number from 1 to 9, got 500");
    const char *const known[] = {"steps", "list", "rates", "none"};
    COMPLAINS(tr_doc_known_keys(train, known, 4, &err), "--train.rate: unknown key; did you mean \"rates\"?");
    tr_text_free(&out);
    tr_doc_free(doc);
}

static void a_wrong_override_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct tr_doc *doc;
    struct tr_err err;
    assert_int_equal(tr_doc_empty("defaults", &doc, &err), TR_OK);
    assert_int_equal(tr_doc_override(doc, "a", "1", &err), TR_OK);
    static const char *const bad[][2] = {{"", "1"},        {"a.", "1"},      {".a", "1"},         {"b..c", "1"},
                                         {"a.b", "1"},     {"b", "[1"},      {"b", "[*x]"},       {"b", "\"x\" y"},
                                         {"b", "\xff"},    {"b", "1e999"},   {"a.b.c.d.e.f.g.h.i", "1"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (tr_doc_override(doc, bad[i][0], bad[i][1], &err) != TR_BAD_INPUT)
            fail_msg("accepted: %s", bad[i][0]);
        assert_int_equal(tr_doc_root(doc)->count, 1);
    }
    assert_int_equal(tr_doc_find(tr_doc_root(doc), "a")->integer, 1);
    COMPLAINS(tr_doc_override(doc, "a.b", "1", &err), "--a: expected keys below it, one of which --a.b gives");
    tr_doc_free(doc);
}

static void a_file_is_read_and_named_in_complaints(void **state)
{
    (void)state;
    char path[] = "/tmp/trine-doc-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a: b: c\n", 8), 8);
    close(fd);
    struct tr_doc *doc;
    struct tr_err err;
    assert_int_equal(tr_doc_read(path, TR_DOC_YAML, &doc, &err), TR_BAD_INPUT);
    assert_memory_equal(err.text, path, strlen(path));
    assert_int_equal(tr_file_write(path, "a: 1\n", 5, &err), TR_OK);
    assert_int_equal(tr_doc_read(path, TR_DOC_YAML, &doc, &err), TR_OK);
    assert_string_equal(tr_doc_root(doc)->source, path);
    tr_doc_free(doc);
    unlink(path);
    assert_int_equal(tr_doc_read(path, TR_DOC_YAML, &doc, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "cannot be opened"));
    tr_doc_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_keeps_order_kinds_and_whole_numbers),
        cmocka_unit_test(bad_json_is_refused_with_its_place),
        cmocka_unit_test(nesting_beyond_the_limit_is_refused_in_both_formats),
        cmocka_unit_test(more_values_than_the_limit_are_refused_before_they_take_memory),
        cmocka_unit_test(yaml_scalars_have_the_types_of_the_core_schema),
        cmocka_unit_test(what_yaml_offers_beyond_a_plain_tree_is_refused_with_its_place),
        cmocka_unit_test(a_duplicate_key_is_refused_also_among_many),
        cmocka_unit_test(every_key_of_a_large_object_is_found),
        cmocka_unit_test(getters_return_values_in_range),
        cmocka_unit_test(getters_complain_with_place_key_and_value),
        cmocka_unit_test(an_unknown_key_names_the_nearest_known_one),
        cmocka_unit_test(json_values_complain_by_key_where_the_line_is_unknown),
        cmocka_unit_test(a_very_long_path_is_cut_in_front),
        cmocka_unit_test(overrides_replace_add_and_reach_deep),
        cmocka_unit_test(a_wrong_override_is_refused_and_changes_nothing),
        cmocka_unit_test(a_file_is_read_and_named_in_complaints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
