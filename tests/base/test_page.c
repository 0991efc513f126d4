/* Pages: whole, with nothing from elsewhere, and names from outside cannot break them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <string.h>

#include "base/page.h"

static int occurrences(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word))
        n++;
    return n;
}

static const char evil[] = "</title><script>\"x\"&";

static void make_page(struct tr_text *out)
{
    tr_page_begin(out, evil, ".mine{color:red}\n");
    tr_page_heading(out, evil, evil);
    tr_page_tiles(out);
    tr_page_tile(out, evil, evil);
    tr_page_end_tiles(out);
    tr_page_text(out, "p", "sub", evil);
    tr_page_put(out, "p", NULL, "%d of %s", 5, evil);
    tr_page_verbatim(out, "pre", "5 of x");
    tr_page_table(out, evil, (const char *const[]){"name", evil}, 2, 1);
    tr_text_append(out, "<tr>");
    tr_page_cell(out, false, evil);
    tr_page_cell(out, true, evil);
    tr_page_long_cell(out, evil);
    tr_text_append(out, "</tr>\n");
    tr_page_end_table(out);
    tr_page_end(out);
}

static void what_is_opened_is_closed(void **state)
{
    static const char *const tags[][2] = {{"<html ", "</html>"},     {"<head>", "</head>"}, {"<style>", "</style>"},
                                          {"<body>", "</body>"},     {"<main>", "</main>"}, {"<h2>", "</h2>"},
                                          {"<figure>", "</figure>"}, {"<tr>", "</tr>"},     {"<table>", "</table>"},
                                          {"<div", "</div>"},        {"<th", "</th>"},      {"<td", "</td>"}};
    struct tr_text out = {0};
    (void)state;
    make_page(&out);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        assert_true(occurrences(tr_text_str(&out), tags[i][0]) > 0);
        assert_int_equal(occurrences(tr_text_str(&out), tags[i][0]), occurrences(tr_text_str(&out), tags[i][1]));
    }
    assert_int_equal(occurrences(tr_text_str(&out), "class=\"n\""), 2); /* the second column, its head too */
    assert_non_null(strstr(tr_text_str(&out), ".mine{color:red}\n</style>"));
    assert_non_null(strstr(tr_text_str(&out), "</figcaption>\n<div class=\"wide\"><table>")); /* scrolls without its caption */
    tr_text_free(&out);
}

static void every_text_is_escaped(void **state)
{
    struct tr_text out = {0};
    (void)state;
    make_page(&out);
    assert_null(strstr(tr_text_str(&out), "<script"));
    assert_int_equal(occurrences(tr_text_str(&out), "&lt;/title&gt;&lt;script&gt;&quot;x&quot;&amp;"), 12);
    assert_null(strstr(tr_text_str(&out), "http"));
    assert_non_null(strstr(tr_text_str(&out), "<p>5\u00a0of &lt;"));
    assert_non_null(strstr(tr_text_str(&out), "<pre>5 of x</pre>")); /* as it was */
    tr_text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_opened_is_closed),
        cmocka_unit_test(every_text_is_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
