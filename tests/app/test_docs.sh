#!/bin/sh
# docs/commands.md is what `trine docs` prints; each command has help; the completion is a script that bash takes.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"

"$TRINE_BIN" docs >commands.md || fault "trine docs ended with $?"
diff -u "$TRINE_SOURCE_DIR/docs/commands.md" commands.md ||
    fault "docs/commands.md is not what the program says: trine docs > docs/commands.md"
expect 0 "usage: trine COMMAND" "$TRINE_BIN" --help
expect 0 "usage: trine COMMAND" "$TRINE_BIN" help
expect 0 "trine 0." "$TRINE_BIN" --version
for command in $("$TRINE_BIN" help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    expect 0 "usage: trine $command" "$TRINE_BIN" help "$command"
    expect 0 "usage: trine $command" "$TRINE_BIN" "$command" --help
done
expect 2 "unknown command" "$TRINE_BIN" help nothing-like-it
expect 2 "there is one for bash" "$TRINE_BIN" completion fish
"$TRINE_BIN" completion bash >completion || fault "trine completion ended with $?"
if command -v bash >/dev/null; then
    bash -n completion || fault "bash does not take the completion"
fi
"$TRINE_BIN" --version >/dev/full 2>said && fault "a full disk under standard output is not noticed"

# What docs/predict.md says of its two whole tables is what their rows say.
awk -F'|' '
function size(x) { return x < 0 ? -x : x }
$4 ~ /^ [0-9.]+ s $/ {
    rows++
    off = $4 / $5 - 1
    sum += size(off)
    shown = size(substr($6, 2) + 0)
    worst = shown > worst ? shown : worst
    within += size($5 / $4 - 1) * 100 <= substr($7, 2) + 0
}
/^## / && rows { say(); if (++tables == 2) exit }
function say() { printf "%d: mean error %.1f %%, worst %.1f %%; %d within\n", rows, 100 * sum / rows, worst, within; rows = sum = worst = within = 0 }
' "$TRINE_SOURCE_DIR/docs/predict.md" >rows
sed -n 's/^\(All \)*44\( configurations\)*: \(mean error [0-9.]* %\), median [0-9.]* %, \(worst [0-9.]* %; [0-9]* within\).*/44: \3, \4/p' "$TRINE_SOURCE_DIR/docs/predict.md" >said
[ "$(wc -l <said)" = 2 ] && cmp -s rows said || fault "docs/predict.md says $(cat said), its rows $(cat rows)"
done_all
