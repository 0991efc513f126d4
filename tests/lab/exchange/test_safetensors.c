/* lab/exchange/safetensors: what we write we read; whatever is not exactly right is refused. */
#include "lab/exchange/safetensors.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char image[4096];

/* A file: header text, padded as given, and `data_bytes` bytes of data. Returns its size. */
static size_t make(const char *header, size_t data_bytes)
{
    uint64_t length = strlen(header);
    memset(image, 0, sizeof image);
    memcpy(image, &length, 8);
    memcpy(image + 8, header, length);
    return 8 + length + data_bytes;
}

static enum tr_status parse(const char *header, size_t data_bytes, struct tr_safetensors *out, struct tr_err *err)
{
    size_t bytes = make(header, data_bytes);
    *err = (struct tr_err){{0}};
    return tr_safetensors_parse("f.safetensors", image, bytes, (int64_t)bytes, out, err);
}

static void refuse(const char *header, size_t data_bytes, const char *sentence)
{
    struct tr_safetensors file;
    struct tr_err err;
    assert_int_equal(parse(header, data_bytes, &file, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "f.safetensors");
    tr_assert_says(err.text, sentence);
}

static void tensors_are_found_in_the_order_of_their_data(void **state)
{
    (void)state;
    struct tr_safetensors file;
    struct tr_err err;
    assert_int_equal(
        parse("{\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[2,26]},\"__metadata__\":{\"k\":\"v\"},"
              "\"a\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[0,2]},"
              "\"e\":{\"dtype\":\"U8\",\"shape\":[0,5],\"data_offsets\":[2,2]}}   ",
              26, &file, &err),
        TR_OK);
    assert_int_equal(file.count, 3);
    assert_string_equal(file.tensor[0].name, "a");
    assert_string_equal(file.tensor[1].name, "e");
    assert_string_equal(file.tensor[2].name, "b");
    assert_int_equal(file.tensor[2].begin, file.data_begin + 2);
    assert_int_equal(file.tensor[2].bytes, 24);
    assert_int_equal(file.tensor[2].dim[1], 3);
    assert_ptr_equal(tr_safetensors_find(&file, "b"), &file.tensor[2]);
    assert_null(tr_safetensors_find(&file, "c"));
    tr_safetensors_free(&file);
}

static void what_we_write_we_read(void **state)
{
    (void)state;
    struct tr_safetensor tensors[] = {
        {.name = "one", .dtype = "F32", .rank = 2, .dim = {3, 4}, .bytes = 48},
        {.name = "two \"quoted\"", .dtype = "F32", .rank = 1, .dim = {5}, .bytes = 20},
    };
    struct tr_text out = {0};
    struct tr_err err = {{0}};
    struct tr_safetensors file;
    assert_int_equal(tr_safetensors_header(tensors, 2, &out, &err), TR_OK);
    assert_int_equal(out.len % TR_SAFETENSORS_ALIGN, 0);
    assert_int_equal(tensors[0].begin, out.len);
    tr_text_fill(&out, 'x', 68);
    tr_scratch_put("w.safetensors", tr_text_str(&out), out.len);
    if (tr_safetensors_open(tr_scratch("w.safetensors"), &file, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(file.count, 2);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(file.tensor[i].name, tensors[i].name);
        assert_int_equal(file.tensor[i].begin, tensors[i].begin);
        assert_int_equal(file.tensor[i].bytes, tensors[i].bytes);
        assert_int_equal(file.tensor[i].rank, tensors[i].rank);
    }
    tr_safetensors_free(&file);
    tr_scratch_put("cut.safetensors", tr_text_str(&out), out.len - 1);
    assert_int_equal(tr_safetensors_open(tr_scratch("cut.safetensors"), &file, &err), TR_BAD_INPUT);
    tr_scratch_put("tiny.safetensors", "abc", 3);
    assert_int_equal(tr_safetensors_open(tr_scratch("tiny.safetensors"), &file, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "3 bytes are too few");
    assert_int_equal(tr_safetensors_open(tr_scratch("none.safetensors"), &file, &err), TR_BAD_INPUT);
    tr_text_free(&out);
}

static void headers_that_are_not_exactly_right_are_refused(void **state)
{
    (void)state;
    refuse("", 0, "begins with '{'");
    refuse(" {}", 0, "begins with '{'");
    refuse("[]", 0, "begins with '{'");
    refuse("{}x", 0, "");
    refuse("{", 0, "");
    refuse("{}", 1, "cover 0 of 1 bytes");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
           "\"data_offsets\":[4,8]}}", 8, "");
    refuse("{\"a\":5}", 0, "expected an object");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"extra\":1}}", 4, "extra");
    refuse("{\"a\":{\"dtype\":\"X9\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype \"X9\" is not known");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
           "4 bytes, but dtype and shape make 8");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "shape");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "shape");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
           "more bytes than can");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[3037000500,3037000500],\"data_offsets\":[0,0]}}", 0,
           "more bytes than can");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, "shape");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "is no range");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}", 4, "is no range");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],"
           "\"data_offsets\":[0,4]}}", 4, "begins at byte 0 of the data, the one before it ends at 4");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "begins at byte 4");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "cover 4 of 8");
    refuse("{\"__metadata__\":{\"k\":1}}", 0, "expected a string");
    refuse("{\"__metadata__\":[]}", 0, "expected an object of strings");
}

static void lengths_that_lie_are_refused_before_anything_is_allocated(void **state)
{
    (void)state;
    struct tr_safetensors file;
    struct tr_err err;
    uint64_t lies[] = {3, 1000, 100000001, (uint64_t)1 << 40, UINT64_MAX, INT64_MAX};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        size_t bytes = make("{}", 0);
        memcpy(image, &lies[i], 8);
        assert_int_equal(tr_safetensors_parse("f", image, bytes, (int64_t)bytes, &file, &err), TR_BAD_INPUT);
    }
    for (size_t bytes = 0; bytes < 10; bytes++) {
        make("{}", 0);
        assert_int_equal(tr_safetensors_parse("f", image, bytes, (int64_t)bytes, &file, &err), TR_BAD_INPUT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_found_in_the_order_of_their_data),
        cmocka_unit_test(what_we_write_we_read),
        cmocka_unit_test(headers_that_are_not_exactly_right_are_refused),
        cmocka_unit_test(lengths_that_lie_are_refused_before_anything_is_allocated),
    };
    return cmocka_run_group_tests_name("lab/exchange/safetensors", tests, tr_scratch_setup, tr_scratch_teardown);
}
