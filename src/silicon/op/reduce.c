#include "silicon/op/reduce.h"

static int add_roots(int64_t begin, int64_t end, struct tr_range wanted, struct tr_range *root, int count)
{
    if (wanted.last <= begin || end <= wanted.first)
        return count;
    if (wanted.first <= begin && end <= wanted.last) {
        TR_ASSERT(count < TR_TREE_ROOTS_MAX);
        root[count] = (struct tr_range){begin, end};
        return count + 1;
    }
    int64_t middle = begin + tr_tree_split(end - begin);
    count = add_roots(begin, middle, wanted, root, count);
    return add_roots(middle, end, wanted, root, count);
}

int tr_tree_roots(int64_t count, int64_t first, int64_t last, struct tr_range root[TR_TREE_ROOTS_MAX])
{
    TR_ASSERT(0 <= first && first < last && last <= count && count <= TR_PARTS_MAX);
    return add_roots(0, count, (struct tr_range){first, last}, root, 0);
}

static void add_array(float *sum, const float *part, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += part[i];
}

void tr_tree_join(float *leaves, int64_t stride, int64_t leaf_count, int64_t n)
{
    if (leaf_count == 1)
        return;
    int64_t left = tr_tree_split(leaf_count);
    tr_tree_join(leaves, stride, left, n);
    tr_tree_join(leaves + left * stride, stride, leaf_count - left, n);
    add_array(leaves, leaves + left * stride, n);
}

/* Joins the nodes that lie in [begin, end) and returns the index of the array that holds their sum. */
static int join_nodes(float *arrays, int64_t stride, int64_t n, const struct tr_range *node, int *next, int64_t begin,
                      int64_t end)
{
    if (node[*next].first == begin && node[*next].last == end)
        return (*next)++;
    TR_ASSERT(end - begin >= 2); /* else the nodes are no subtrees of this tree */
    int64_t middle = begin + tr_tree_split(end - begin);
    int left = join_nodes(arrays, stride, n, node, next, begin, middle);
    int right = join_nodes(arrays, stride, n, node, next, middle, end);
    add_array(arrays + left * stride, arrays + right * stride, n);
    return left;
}

void tr_tree_join_roots(float *arrays, int64_t stride, int64_t n, const struct tr_range *node, int node_count,
                        int64_t count)
{
    int next = 0;
    int sum = join_nodes(arrays, stride, n, node, &next, 0, count);
    TR_ASSERT(next == node_count && sum == 0);
}
