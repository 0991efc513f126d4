/* Cuts, the tree, its roots and the binary counter. Sums are checked by a join that is not associative, so that another
 * order or another grouping gives another number. */
#include "silicon/op/reduce.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT_MAX = 200 };

static uint64_t leaf_of(int64_t index) { return (uint64_t)index * 0x9e3779b97f4a7c15u + 1; }

static uint64_t join(uint64_t left, uint64_t right)
{
    uint64_t mixed = left * 0xbf58476d1ce4e5b9u + (right ^ right >> 29) * 0x94d049bb133111ebu + 7;
    return mixed ^ mixed >> 31;
}

/* The tree as DESIGN says it: left is the largest power of two that is smaller than the count. */
static uint64_t tree(int64_t first, int64_t count)
{
    if (count == 1)
        return leaf_of(first);
    int64_t left = 1;
    for (int64_t power = 1; power < count; power *= 2)
        left = power;
    return join(tree(first, left), tree(first + left, count - left));
}

static void parts_cover_the_axis_and_differ_by_at_most_a_quantum(void **state)
{
    (void)state;
    static const int64_t quantum[] = {1, 2, 16, 64};
    for (size_t q = 0; q < sizeof quantum / sizeof quantum[0]; q++) {
        for (int64_t n = 0; n <= 300; n += 7) {
            for (int64_t parts = 1; parts <= 20; parts++) {
                int64_t smallest = n, largest = 0;
                assert_int_equal(tr_cut(n, quantum[q], parts, 0), 0);
                assert_int_equal(tr_cut(n, quantum[q], parts, parts), n);
                for (int64_t p = 0; p < parts; p++) {
                    int64_t begin = tr_cut(n, quantum[q], parts, p), end = tr_cut(n, quantum[q], parts, p + 1);
                    assert_true(begin <= end && begin % quantum[q] == 0);
                    int64_t size = p == parts - 1 ? end - begin - n % quantum[q] : end - begin;
                    smallest = size < smallest ? size : smallest;
                    largest = size > largest ? size : largest;
                }
                assert_true(largest - smallest <= quantum[q]);
            }
        }
    }
}

static void the_left_subtree_is_the_largest_smaller_power_of_two(void **state)
{
    (void)state;
    static const int64_t expected[][2] = {{2, 1},  {3, 2},   {4, 2},   {5, 4},     {7, 4},      {8, 4},
                                          {9, 8},  {16, 8},  {17, 16}, {100, 64},  {4095, 2048}, {4096, 2048}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_int_equal(tr_tree_split(expected[i][0]), expected[i][1]);
}

static void the_binary_counter_makes_the_tree(void **state)
{
    (void)state;
    for (int64_t count = 1; count <= COUNT_MAX; count++) {
        uint64_t stack[COUNT_MAX];
        int height = 0, highest = 0;
        for (int64_t i = 0; i < count; i++) {
            stack[height++] = leaf_of(i);
            highest = height > highest ? height : highest;
            for (int joins = tr_tree_joins_after(i, count); joins > 0; joins--) {
                assert_true(height >= 2);
                height--;
                stack[height - 1] = join(stack[height - 1], stack[height]);
            }
        }
        assert_int_equal(height, 1);
        assert_true(stack[0] == tree(0, count));
        assert_int_equal(tr_tree_depth(count), highest);
    }
}

static void the_counter_of_the_widest_run_fits_its_limit(void **state)
{
    (void)state;
    assert_int_equal(tr_tree_depth(TR_PARTS_MAX), TR_TREE_DEPTH_MAX);
    assert_int_equal(tr_tree_depth(TR_PARTS_MAX - 1), TR_TREE_DEPTH_MAX - 1);
}

/* Whether [first, last) is a node of the tree over [begin, end). */
static bool is_node(int64_t begin, int64_t end, int64_t first, int64_t last)
{
    if (begin == first && end == last)
        return true;
    if (end - begin < 2)
        return false;
    int64_t middle = begin + tr_tree_split(end - begin);
    return last <= middle ? is_node(begin, middle, first, last) : first >= middle && is_node(middle, end, first, last);
}

static void check_roots(int64_t count, int64_t first, int64_t last)
{
    struct tr_range root[TR_TREE_ROOTS_MAX];
    int roots = tr_tree_roots(count, first, last, root);
    assert_true(roots >= 1 && roots <= TR_TREE_ROOTS_MAX);
    int64_t next = first;
    for (int i = 0; i < roots; i++) {
        assert_int_equal(root[i].first, next);
        assert_true(is_node(0, count, root[i].first, root[i].last));
        next = root[i].last;
    }
    assert_int_equal(next, last);
    for (int i = 0; i + 1 < roots; i++) /* the largest possible: no two or more of them are one node */
        for (int j = i + 1; j < roots; j++)
            assert_false(is_node(0, count, root[i].first, root[j].last));
}

static void roots_are_the_fewest_whole_subtrees_of_a_range(void **state)
{
    (void)state;
    for (int64_t count = 1; count <= 40; count++)
        for (int64_t first = 0; first < count; first++)
            for (int64_t last = first + 1; last <= count; last++)
                check_roots(count, first, last);
    check_roots(TR_PARTS_MAX, 1, TR_PARTS_MAX - 1); /* the most that there can be */
    check_roots(TR_PARTS_MAX - 1, 1, TR_PARTS_MAX - 1);
}

enum { WIDTH = 5 };

static void fill_leaves(float leaves[COUNT_MAX][WIDTH], int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < WIDTH; j++)
            leaves[i][j] = (float)(tr_rng_double(tr_rng_key(1, "leaves", 0), (uint64_t)(i * WIDTH + j)) - 0.5);
}

static float float_tree(float leaves[COUNT_MAX][WIDTH], int64_t first, int64_t count, int64_t j)
{
    if (count == 1)
        return leaves[first][j];
    int64_t left = tr_tree_split(count);
    return float_tree(leaves, first, left, j) + float_tree(leaves, first + left, count - left, j);
}

static void arrays_join_along_the_tree(void **state)
{
    (void)state;
    for (int64_t count = 1; count <= COUNT_MAX; count++) {
        static float leaves[COUNT_MAX][WIDTH], joined[COUNT_MAX][WIDTH];
        fill_leaves(leaves, count);
        memcpy(joined, leaves, sizeof joined);
        tr_tree_join(joined[0], WIDTH, count, WIDTH - 1);
        for (int64_t j = 0; j < WIDTH - 1; j++)
            assert_true(joined[0][j] == float_tree(leaves, 0, count, j));
        assert_true(joined[0][WIDTH - 1] == leaves[0][WIDTH - 1]); /* n, not the stride, says how many */
    }
}

/* Owners of any adjacent ranges: each sums its roots, and the roots of all make the bits of the whole. */
static void partial_sums_of_any_owners_join_to_the_whole(void **state)
{
    (void)state;
    for (int64_t count = 1; count <= 60; count++) {
        for (uint64_t trial = 0; trial < 20; trial++) {
            static float leaves[COUNT_MAX][WIDTH], partial[COUNT_MAX][WIDTH];
            struct tr_range node[COUNT_MAX];
            int nodes = 0;
            fill_leaves(leaves, count);
            for (int64_t first = 0, last; first < count; first = last) {
                double part = tr_rng_double(tr_rng_key(2, "owners", trial), (uint64_t)(count * 64 + first));
                last = first + 1 + (int64_t)(part * part * (double)(count - first));
                last = last > count ? count : last;
                struct tr_range root[TR_TREE_ROOTS_MAX];
                int roots = tr_tree_roots(count, first, last, root);
                for (int r = 0; r < roots; r++, nodes++) {
                    node[nodes] = root[r];
                    for (int64_t j = 0; j < WIDTH; j++)
                        partial[nodes][j] = float_tree(leaves, root[r].first, root[r].last - root[r].first, j);
                }
            }
            tr_tree_join_roots(partial[0], WIDTH, WIDTH, node, nodes, count);
            for (int64_t j = 0; j < WIDTH; j++)
                assert_true(partial[0][j] == float_tree(leaves, 0, count, j));
        }
    }
}

static void fold16_adds_halves(void **state)
{
    (void)state;
    float p[TR_FOLD], copy[TR_FOLD];
    for (int i = 0; i < TR_FOLD; i++)
        p[i] = copy[i] = (float)(tr_rng_double(tr_rng_key(3, "fold", 0), (uint64_t)i) * 1e3 - 500.0);
    float four[4];
    for (int r = 0; r < 4; r++)
        four[r] = (copy[r] + copy[r + 8]) + (copy[r + 4] + copy[r + 12]);
    float expected = (four[0] + four[2]) + (four[1] + four[3]);
    assert_true(tr_fold16(p) == expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_cover_the_axis_and_differ_by_at_most_a_quantum),
        cmocka_unit_test(the_left_subtree_is_the_largest_smaller_power_of_two),
        cmocka_unit_test(the_binary_counter_makes_the_tree),
        cmocka_unit_test(the_counter_of_the_widest_run_fits_its_limit),
        cmocka_unit_test(roots_are_the_fewest_whole_subtrees_of_a_range),
        cmocka_unit_test(arrays_join_along_the_tree),
        cmocka_unit_test(partial_sums_of_any_owners_join_to_the_whole),
        cmocka_unit_test(fold16_adds_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
