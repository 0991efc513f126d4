#!/bin/sh
# What docs/catalog.md says about a chip and a cluster of one's own is so; every entry can be shown, as text and as JSON.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
page=$TRINE_SOURCE_DIR/docs/catalog.md

# The page: its keys are the program's, its example is one.
sed '1,/^Printed by `trine docs catalog`/d' "$page" >keys
"$TRINE_BIN" docs catalog >said || fault "trine docs catalog ended with $?"
diff -u keys said || fault "the keys of docs/catalog.md are not what the program says: trine docs catalog"
expect 2 "commands or catalog" "$TRINE_BIN" docs catalogue
awk '/^```yaml/ { on = 1; next } /^```/ { on = 0 } on' "$page" >mine.yaml
[ "$(awk '/^systems:/ { on = 1 } /^prices:/ { on = 0 } on' mine.yaml | wc -l)" -le 10 ] || fault "a cluster takes more than ten lines"
expect 0 "4 TB/s  measured  2026-03" "$TRINE_BIN" show chip x1 --catalog mine.yaml
expect 0 "for h100-sxm, which it is like" "$TRINE_BIN" show chip x1 --catalog mine.yaml
expect 0 "roce-400 25 GB/s (2:1), fat-tree" "$TRINE_BIN" show system lab --catalog mine.yaml
expect 0 '$1.40 a chip and hour, one offer, 2026-03: me' "$TRINE_BIN" show system lab --catalog mine.yaml
expect 0 "1.3  assumed" "$TRINE_BIN" show site me --catalog mine.yaml
mkdir folder && cp mine.yaml folder/a.yaml
expect 0 "Our lab" "$TRINE_BIN" show system lab --catalog folder

# Everything that is listed.
for what in chips networks systems models prices sites failures sources; do
    "$TRINE_BIN" show "$what" >text || fault "show $what ended with $?"
    [ "$(wc -l <text)" -gt 3 ] || fault "show $what says next to nothing"
    "$TRINE_BIN" show "$what" --json >json || fault "show $what --json ended with $?"
    grep -q '"id"' json || fault "show $what --json holds no entries"
done
for id in $("$TRINE_BIN" show chips | sed '1,2d;/^$/,$d' | cut -d' ' -f1); do
    "$TRINE_BIN" show chip "$id" >text || fault "show chip $id ended with $?"
    grep -q "not legal advice" text || fault "show chip $id gives advice"
    grep -q "^ridge points" text || fault "show chip $id has no ridge points"
done
for id in $("$TRINE_BIN" show systems | sed '1,2d' | cut -d' ' -f1); do
    "$TRINE_BIN" show system "$id" >/dev/null || fault "show system $id ended with $?"
done
expect 0 "37.55 B active" "$TRINE_BIN" show model deepseek-v3
expect 0 "parameters  124" "$TRINE_BIN" show model gpt2
expect 2 "did you mean gpt3-175b" "$TRINE_BIN" show model gpt3-175
expect 0 '"tpp": 15832,' "$TRINE_BIN" show chip h100 --json

# Dates.
expect 0 "p5.48xlarge" "$TRINE_BIN" show prices h100
expect 0 "one offer, 2024-12: aws p5.48xlarge; older, and dearer than on_demand, so nobody would take it" "$TRINE_BIN" show prices h100
expect 0 "A plan for dgx-h100 takes" "$TRINE_BIN" show prices dgx-h100
expect 0 "aws p5.48xlarge" "$TRINE_BIN" show prices dgx-h100
expect 0 'on_demand   $6.88/h, one offer, 2025-06-05: aws p5.48xlarge' "$TRINE_BIN" show prices aws-p5
expect 0 '$12.29 a chip and hour' "$TRINE_BIN" show system aws-p5 --date 2025-05
expect 2 "no date" "$TRINE_BIN" show chip h100 --date yesterday

# Mistakes.
expect 2 "did you mean h100-sxm" "$TRINE_BIN" show chip h10
expect 2 "did you mean dgx-h100" "$TRINE_BIN" show system dgx-h10
expect 2 "did you mean lambda" "$TRINE_BIN" show prices lambad
expect 2 "which chip" "$TRINE_BIN" show chip
expect 2 "one too many" "$TRINE_BIN" show chips h100
expect 2 "one name too many" "$TRINE_BIN" show gpt2 h100
printf 'chips:\n  x1:\n    like: h100\n    memory: 80\n' >bad.yaml
expect 2 "bad.yaml:4:13: chips.x1.memory: a number without its unit" "$TRINE_BIN" show chip x1 --catalog bad.yaml
expect 2 "nowhere.yaml" "$TRINE_BIN" show chips --catalog nowhere.yaml
done_all
