#include "base/page.h"

#include "base/chart.h"

void tr_page_begin(struct tr_text *out, const char *title, const char *css)
{
    tr_text_append(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    tr_page_text(out, "title", NULL, title);
    tr_text_append(out, "<style>\n");
    tr_chart_style(out);
    tr_text_append(out, css ? css : "");
    tr_text_append(out, "</style></head><body><main>\n");
}

void tr_page_end(struct tr_text *out) { tr_text_append(out, "</main></body></html>\n"); }

void tr_page_text(struct tr_text *out, const char *tag, const char *class, const char *text)
{
    if (class)
        tr_text_printf(out, "<%s class=\"%s\">", tag, class);
    else
        tr_text_printf(out, "<%s>", tag);
    tr_text_append_words(out, text);
    tr_text_printf(out, "</%s>\n", tag);
}

void tr_page_put(struct tr_text *out, const char *tag, const char *class, const char *fmt, ...)
{
    struct tr_text words = {0};
    va_list args;
    va_start(args, fmt);
    tr_text_vprintf(&words, fmt, args);
    va_end(args);
    tr_page_text(out, tag, class, tr_text_str(&words));
    out->failed |= words.failed;
    tr_text_free(&words);
}

void tr_page_verbatim(struct tr_text *out, const char *tag, const char *text)
{
    tr_text_printf(out, "<%s>", tag);
    tr_text_append_html(out, text);
    tr_text_printf(out, "</%s>\n", tag);
}

void tr_page_heading(struct tr_text *out, const char *title, const char *sub)
{
    tr_page_text(out, "h2", NULL, title);
    if (sub)
        tr_page_text(out, "p", "sub", sub);
}

void tr_page_tiles(struct tr_text *out) { tr_text_append(out, "<div class=\"tiles\">\n"); }

void tr_page_tile(struct tr_text *out, const char *label, const char *value)
{
    tr_text_append(out, "<div class=\"tile\"><b>");
    tr_text_append_words(out, value);
    tr_text_append(out, "</b><span>");
    tr_text_append_words(out, label);
    tr_text_append(out, "</span></div>\n");
}

void tr_page_end_tiles(struct tr_text *out) { tr_text_append(out, "</div>\n"); }

void tr_page_table(struct tr_text *out, const char *caption, const char *const *names, int count, int first_number)
{
    tr_text_append(out, "<figure>");
    if (caption)
        tr_page_text(out, "figcaption", NULL, caption);
    tr_text_append(out, "<div class=\"wide\"><table><tr>");
    for (int i = 0; i < count; i++) {
        tr_text_append(out, i >= first_number ? "<th class=\"n\">" : "<th>");
        tr_text_append_words(out, names[i]);
        tr_text_append(out, "</th>");
    }
    tr_text_append(out, "</tr>\n");
}

void tr_page_cell(struct tr_text *out, bool number, const char *text)
{
    tr_text_append(out, number ? "<td class=\"n\">" : "<td>");
    tr_text_append_words(out, text);
    tr_text_append(out, "</td>");
}

void tr_page_long_cell(struct tr_text *out, const char *text)
{
    tr_text_append(out, "<td class=\"long\">");
    tr_text_append_words(out, text);
    tr_text_append(out, "</td>");
}

void tr_page_end_table(struct tr_text *out) { tr_text_append(out, "</table></div></figure>\n"); }
