#include "plan/story/story.h"

#include "base/page.h"
#include "base/quantity.h"
#include "plan/print/print.h"
#include "plan/story/inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER = TR_QUANTITY_BYTES };

/* ---- small pieces ------------------------------------------------------------------------------------------------ */

void story_chapter(struct tr_text *out, int number, const char *title)
{
    tr_text_printf(out, "<section>\n<h2><i>%d</i>", number);
    tr_text_append_html(out, title);
    tr_text_append(out, "</h2>\n");
}

int64_t story_steps(const struct story *s) { return (int64_t)s->files.step[s->files.step_count - 1]; }

double story_steps_s(const struct story *s)
{
    double sum_s = 0;
    for (int64_t i = 0; i < s->files.step_count; i++)
        sum_s += s->files.value[TR_CURVE_STEP_S][i];
    return isfinite(sum_s) && sum_s > 0 ? sum_s : s->ran.steps_s / (double)s->ran.steps * (double)story_steps(s);
}

bool story_has_interval(const struct story *s) { return s->ran.ranks == 1 || s->run.exchanges; }

bool story_is_whole(const struct story *s) { return s->attempt_steps >= (double)story_steps(s); }

double story_tokens_s(const struct story *s) { return s->files.tokens / story_steps_s(s); }

double story_rate(const struct story *s) { return s->flop_per_token > 0 ? s->flop_per_token * story_tokens_s(s) : NAN; }

bool story_bits(const struct story *s, double *before, double *after)
{
    const struct tr_run_files *f = &s->files;
    if (f->eval_count < 2)
        return false;
    *before = f->eval[TR_EVAL_BPB][0];
    *after = f->eval[TR_EVAL_BPB][f->eval_count - 1];
    return isfinite(*before) && isfinite(*after);
}

const char *story_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* ---- the top ----------------------------------------------------------------------------------------------------- */

static void put_headline(const struct story *s, struct tr_text *out)
{
    char a[NUMBER], b[NUMBER];
    double before, after;
    struct tr_text line = {0};
    if (s->predicted)
        tr_text_printf(&line, "%s a step %s. %s took %s.", tr_print_time(a, s->run.predicted_s),
                       s->run.learned_from ? "is what was learned" : "was predicted",
                       story_is_whole(s) ? "It" : "In its newest attempt it", tr_print_time(b, s->run.measured_s));
    else if (story_bits(s, &before, &after))
        tr_text_printf(&line, "From %.2f to %.2f bits per byte in %s.", before, after,
                       tr_print_time(a, story_steps_s(s)));
    else
        tr_text_printf(&line, "%lld steps in %s.", (long long)story_steps(s), tr_print_time(a, story_steps_s(s)));
    tr_page_put(out, "h1", NULL, "%s", tr_text_str(&line));
    tr_text_free(&line);
}

static void say_prediction(const struct story *s, struct tr_text *line)
{
    double off = s->run.measured_s / s->run.predicted_s - 1;
    tr_text_printf(line, "That is %.1f %% %s than predicted, ", 100 * fabs(off), off < 0 ? "faster" : "slower");
    if (story_has_interval(s))
        tr_text_printf(line, "%s the ± %.0f %% that four of five runs should keep to. ", fabs(off) <= s->run.error ? "inside" : "outside",
                       100 * s->run.error);
    else
        tr_text_append(line, "which moving bytes between ranks is no part of. ");
}

static void say_plans(const struct story *s, struct tr_text *line)
{
    char a[NUMBER], b[NUMBER];
    bool said = false;
    for (int i = 0; i < s->plan_count; i++) {
        const struct tr_plan *p = s->plan[i].plan;
        if (!p->fits)
            continue;
        tr_text_printf(line, "%s%s would take %s", said ? ", " : "The same planner says that ", p->model.name,
                       tr_print_time(a, tr_plan_cost(p)->wall_s));
        if (!isnan(tr_plan_cost(p)->usd))
            tr_text_printf(line, " and %s", tr_print_quantity(b, TR_UNIT_USD, tr_plan_cost(p)->usd));
        tr_text_printf(line, " on %lld chips", (long long)p->request.chips);
        said = true;
    }
    tr_text_append(line, said ? "." : "");
}

static void put_deck(const struct story *s, struct tr_text *out)
{
    char a[NUMBER], b[NUMBER], c[NUMBER];
    double before, after;
    struct tr_text line = {0};
    if (s->predicted)
        say_prediction(s, &line);
    tr_text_printf(&line, "A model of %s parameters read %s tokens of %s in %s",
                   tr_print_quantity(a, TR_UNIT_COUNT, s->parameters),
                   tr_print_quantity(b, TR_UNIT_COUNT, s->files.tokens), story_name(s->config.data),
                   tr_print_time(c, story_steps_s(s)));
    if (story_bits(s, &before, &after))
        tr_text_printf(&line, " and went from %.2f to %.2f bits per byte of text that it had not seen", before, after);
    tr_text_append(&line, ". ");
    say_plans(s, &line);
    tr_page_put(out, "p", "deck", "%s", tr_text_str(&line));
    tr_text_free(&line);
}

void story_top(const struct story *s, struct tr_text *out)
{
    struct tr_text line = {0};
    tr_text_append(out, "<header>\n");
    tr_text_printf(&line, "trine · %s", story_name(s->request->run_folder));
    if (s->predicted)
        tr_text_printf(&line, " · %s%s · %s", s->differs.len ? "profile of " : "", s->chip.name, s->chip.memory_bytes.date);
    tr_page_text(out, "p", "kick", tr_text_str(&line));
    tr_text_free(&line);
    put_headline(s, out);
    put_deck(s, out);
    if (s->predicted)
        story_step(s, out);
    tr_text_append(out, "</header>\n");
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

void story_end(const struct story *s, struct tr_text *out)
{
    tr_text_append(out, "<footer>\n");
    tr_page_text(out, "h3", NULL, "To check it");
    if (s->hash.hex[0]) {
        tr_page_put(out, "p", NULL,
                    "One run, one hash: whatever the number of threads, the instruction set or the layout over ranks, "
                    "these %lld "
                    "steps end with the same weights and optimiser state, to the bit.",
                    (long long)s->hash.step);
        tr_text_append(out, "<pre>");
        tr_text_append_html(out, s->hash.hex);
        tr_text_append(out, "  ");
        tr_text_append_html(out, s->hash.arithmetic);
        tr_text_append(out, "</pre>\n");
    }
    tr_text_append(out, "<pre>trine hash ");
    tr_text_append_html(out, s->request->run_folder);
    if (s->predicted) {
        tr_text_append(out, "\ntrine explain ");
        tr_text_append_html(out, s->request->run_folder);
        tr_text_append(out, " --profile ");
        tr_text_append_html(out, s->request->profile_path);
    }
    for (int i = 0; i < s->plan_count; i++) {
        tr_text_append(out, "\ntrine explain ");
        tr_text_append_html(out, s->request->plan_path[i]);
    }
    tr_text_append(out, "</pre>\n");
    tr_text_append(out,
                   "<p>Every number of this page is in the files of the run, of the profile, or of a plan; "
                   "<code>trine explain</code> takes each apart, down to the catalog's facts and their sources.</p>\n");
    tr_text_append(out, "</footer>\n");
}

/* ---- the page ---------------------------------------------------------------------------------------------------- */

static const char css[] =
    "main{max-width:1080px;padding:0 24px 80px}body{--paper:var(--bg);--serif:Charter,'Iowan Old Style','Palatino "
    "Linotype',Georgia,'DejaVu Serif',serif}\n"
    "header{padding:56px 0 20px;border-bottom:3px solid "
    "var(--ink);margin-bottom:24px}.kick{text-transform:uppercase;letter-spacing:.12em;"
    "font-size:12px;color:var(--soft);margin:0 0 14px}h1{font:700 clamp(30px,5.4vw,54px)/1.08 var(--serif);margin:0 0 "
    "18px;"
    "letter-spacing:-.015em;max-width:20em;text-wrap:balance}\n"
    ".deck{font:400 clamp(17px,2vw,21px)/1.5 var(--serif);max-width:44em;margin:0;color:var(--ink)}\n"
    "header figure{margin-top:26px;border:0;padding:0}section{padding:34px 0 6px}section p.sub{font:400 13px/1.5 "
    "system-ui,sans-serif;margin:2px 0 10px}section>p,footer>p{font:400 17px/1.6 var(--serif);max-width:42em;margin:0 "
    "0 16px}\n"
    "h2{font:700 28px/1.2 var(--serif);margin:0 0 14px;display:flex;align-items:baseline;gap:14px}h2 i{font:600 13px/1 "
    "system-ui,"
    "sans-serif;color:var(--bg);background:var(--c0);border-radius:50%;min-width:26px;height:26px;display:inline-grid;"
    "place-items:center;"
    "transform:translateY(-4px)}h3{font:700 21px/1.25 var(--serif);margin:0 0 4px}\n"
    ".charts{gap:26px 34px;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));margin:6px 0 14px}\n"
    "figure{background:none;border:0;border-top:1px solid var(--grid);border-radius:0;padding:12px 0 4px;min-width:0}\n"
    ".tiles{gap:0 24px;margin:0 0 "
    "18px;grid-template-columns:repeat(auto-fit,minmax(140px,1fr))}.tile{background:none;border:0;"
    "border-top:2px solid var(--ink);border-radius:0;padding:9px 0 12px}.tile b{font:700 20px/1.25 var(--serif)}\n"
    "code{font-size:.86em}blockquote{font:400 20px/1.6 var(--serif);margin:0 0 14px;padding:4px 0 4px "
    "24px;border-left:4px solid var(--c1);max-width:36em;"
    "white-space:pre-line;overflow-wrap:anywhere}table{min-width:100%}td:first-child{white-space:nowrap}"
    "td small{display:block;color:var(--soft);white-space:normal}\n"
    ".cards{display:grid;gap:26px;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));align-items:start;"
    "margin-top:10px}\n"
    "article{--paper:var(--card);background:var(--card);border:1px solid var(--grid);border-radius:10px;padding:22px 24px 14px;min-width:0}"
    "article>p{font-size:14px;color:var(--soft);margin:0 0 14px}article "
    ".tiles{grid-template-columns:repeat(auto-fit,minmax(108px,1fr));"
    "gap:0 18px}article .tile b{font-size:19px}.no{border-left:4px solid var(--c5);padding-left:12px}\n"
    "ul{padding-left:18px;font-size:14px;margin:6px 0 12px}li{margin:3px 0}footer{border-top:3px solid "
    "var(--ink);margin-top:36px;"
    "padding-top:22px}pre{white-space:pre-wrap;overflow-wrap:anywhere}\n"
    "@media(max-width:600px){main{padding:0 16px "
    "48px}header{padding-top:30px}h2{font-size:24px}section{padding-top:24px}"
    "article{padding:16px 14px 8px}.tiles,article .tiles{grid-template-columns:1fr 1fr}.tile b,article .tile "
    "b{font-size:19px}"
    "blockquote{font-size:17px;padding-left:14px}}\n"
    /* Where six are more than a row, two rows of three: the last must not stand alone. */
    "@media(min-width:601px) and (max-width:1040px){section>.tiles:has(>:nth-child(5)){grid-template-columns:repeat(3,1fr)}}\n";

static enum tr_status put_chapters(const struct story *s, struct tr_text *out, struct tr_err *err)
{
    int number = 0;
    enum tr_status status = TR_OK;
    story_machine(s, ++number, out);
    if (s->predicted)
        story_prediction(s, ++number, out);
    story_run(s, ++number, out);
    if (s->predicted)
        status = story_comparison(s, ++number, out, err);
    if (s->learned)
        story_learned(s, ++number, out);
    if (story_has_text(s))
        story_text(s, ++number, out);
    return status == TR_OK && s->plan_count ? story_plans(s, ++number, out, err) : status;
}

static enum tr_status put_page(const struct story *s, struct tr_text *out, struct tr_err *err)
{
    struct tr_text title = {0};
    tr_text_printf(&title, "trine: the story of %s", story_name(s->request->run_folder));
    tr_page_begin(out, tr_text_str(&title), css);
    tr_text_free(&title);
    story_top(s, out);
    enum tr_status status = put_chapters(s, out, err);
    story_end(s, out);
    tr_page_end(out);
    return status == TR_OK && tr_text_failed(out, err) ? TR_FAILED : status;
}

enum tr_status tr_story(const struct tr_story_request *request, struct tr_text *out, struct tr_err *err)
{
    struct story *s = calloc(1, sizeof *s);
    if (!s)
        return tr_fail(err, TR_FAILED, "out of memory for a page");
    enum tr_status status = story_read(request, s, err);
    if (status == TR_OK)
        status = put_page(s, out, err);
    story_free(s);
    free(s);
    return status;
}
