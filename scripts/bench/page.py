"""The page of `make bench`: what bench.py has measured, as Markdown and as HTML."""
import html
import math
import os
import platform

SUMMARY_HEAD = ["work", "trine", "fastest peer", "the peer", "trine is faster by"]
GOALS_HEAD = ["to be reached", "is", "reached"]
STYLE = ("body{font:15px sans-serif;margin:2em auto;max-width:70em}table{border-collapse:collapse}"
         "td,th{border:1px solid #bbb;padding:.3em .6em;text-align:left}i{display:inline-block;height:.7em;background:#2a6}"
         "i.slower{background:#c63}pre{white-space:pre-wrap}")

versions, commands = {}, []
failures = {}  # {what failed and how: the first command that did}
summary = []  # lines of SUMMARY_HEAD
goals = []    # lines of GOALS_HEAD
tables = []   # (title, head, rows, note, whether it is folded away)


def table(title, head, rows, note="", folded=False):
    tables.append((title, head, rows, note, folded))


def goal(what, shown, reached):
    """One thing that trine is to reach, and whether it does: None where it was not measured."""
    goals.append([what, shown, "not measured" if reached is None else "yes" if reached else "**no**"])


def bar(row, head):
    """The ratio of a line of the summary as a bar: 2 em each doubling, so that 30 times as fast still fits the page."""
    try:
        doublings = math.log2(float(row[-1])) if head is SUMMARY_HEAD else 0
    except ValueError:  # "-"
        return ""
    return f' <i{" class=slower" if doublings < 0 else ""} style="width:{2 * abs(doublings):.1f}em"></i>' if doublings else ""


def machine(threads):
    """The processor by name, and by numbers too: clouds call several generations by one name."""
    facts = {}
    with open("/proc/cpuinfo") as f:
        for line in f:
            key, colon, value = line.partition(":")
            if colon:
                facts.setdefault(key.strip(), value.strip())
    numbers = ", ".join(f"{word} {facts[key]}" for key, word in (("cpu family", "family"), ("model", "model")) if key in facts)
    model = facts.get("model name", "unknown processor") + (f" ({numbers})" if numbers else "")
    return f"{model}, {threads} cores used, {platform.system()} {platform.release()}"


def markdown(title, head, rows, note, folded):
    lines = [f"## {title}", ""] + (["<details>", ""] if folded else [])
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""] + (["</details>", ""] if folded else []) + [note, ""]


def cell(text):
    return html.escape(text).replace("**no**", "<b>no</b>")


def hypertext(title, head, rows, note, folded):
    lines = [f"<h2>{html.escape(title)}</h2>" + ("<details><summary>all of them</summary>" if folded else "") + "<table><tr>" +
             "".join(f"<th>{html.escape(h)}" for h in head)]
    lines += ["<tr>" + "".join(f"<td>{cell(text)}" for text in row) + bar(row, head) for row in rows]
    return lines + ["</table>" + ("</details>" if folded else "") + f"<p>{html.escape(note)}"]


def all_tables():
    first = []
    if summary:
        first.append(("Beside the fastest peer", SUMMARY_HEAD, summary,
                      "Medians of the tables below. fp32 in PyTorch's packages is multiplied by MKL, which may take slower "
                      "instructions on processors that are not Intel's: what it reaches is said beside its name.", False))
    if goals:
        first.append(("What was to be reached", GOALS_HEAD, goals, "By the medians of the tables below.", False))
    return first + tables


def write(facts, unset, paths):
    """Writes the page to `paths` (.html: as HTML) and returns it as Markdown. `unset`: environment variables that no command had."""
    facts = facts + ["versions: " + ", ".join(f"{k} {v}" for k, v in sorted(versions.items()))]
    facts += [f"not in the tables, since it did not run: {failure} (`{line}`)" for failure, line in failures.items()]
    listed = ([f"unset {' '.join(unset)}"] if unset else []) + commands
    md = ["# Benchmarks", ""] + [f"- {fact}" for fact in facts] + [""]
    page = [f"<!doctype html><meta charset=utf-8><title>trine: benchmarks</title><style>{STYLE}</style><h1>Benchmarks</h1><ul>"]
    page += [f"<li>{html.escape(fact)}" for fact in facts] + ["</ul>"]
    for one in all_tables():
        md += markdown(*one)
        page += hypertext(*one)
    md += ["## Commands", "", "```"] + listed + ["```", ""]
    page += ["<h2>Commands</h2><pre>" + html.escape("\n".join(listed)) + "</pre>"]
    for path in paths:
        with open(path, "w") as f:
            f.write("\n".join(page if path.endswith(".html") else md) + "\n")
    return "\n".join(md)
