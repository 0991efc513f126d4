#!/bin/sh
# The arrows of the house, proved by the linker's own tables: symbols.sh NM LAYER=LIBRARY...
#
# A static library may call what it likes: only the last link complains, and only about what that program uses. So each
# name tr_* that a layer's library leaves open must be defined by that layer or one below it; cloud and lab never meet.
# Besides, no layer may call
#   - exp, log, sin, pow and their kin of the C library: their last bits differ by processor and version
#     (base/fmath.h has ours);
#   - exit: a library reports, the program ends. Nor _exit, but in base/process.c: the child of a fork that could not
#     become another program has nobody to report to.
# One line a fault, and exit 1.
set -u
export LC_ALL=C

nm=${1:?usage: symbols.sh NM LAYER=LIBRARY...}
shift
[ $# -gt 0 ] || { echo "house: no library was given, so nothing was proved" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for pair in "$@"; do
    layer=${pair%%=*} library=${pair#*=}
    "$nm" -g -P "$library" >"$work/nm" 2>"$work/errors" || { cat "$work/errors" >&2; exit 2; }
    # Lines `name type ...`; the heading of a member is `library[member.o]:`.
    awk -v layer="$layer" '
        /:$/ { member = $1; sub(/.*\[/, "", member); sub(/\]?:$/, "", member); next }
        NF >= 2 { print layer, $2, $1, member }' "$work/nm"
done >"$work/symbols"
grep -q '^[a-z]* [A-TV-Z] tr_' "$work/symbols" || { echo "house: the libraries define no tr_ name at all" >&2; exit 2; }

awk '
    BEGIN {
        below["base"] = " base "
        below["silicon"] = " silicon base "
        below["cloud"] = " cloud silicon base "
        below["lab"] = " lab silicon base "
        below["plan"] = " plan cloud lab silicon base "
        count = split("exp exp2 exp10 expm1 log log2 log10 log1p pow sin cos tan sincos asin acos atan atan2 " \
            "sinh cosh tanh asinh acosh atanh erf erfc tgamma lgamma cbrt hypot", word, " ")
        for (i = 1; i <= count; i++)
            inexact[word[i]] = inexact[word[i] "f"] = inexact[word[i] "l"] = 1
    }
    { layer_of[NR] = $1; kind[NR] = $2; name[NR] = $3; member[NR] = $4; total = NR }
    !($1 in below) { print $1 " is no layer of the house"; faults++ }
    $2 !~ /^[Uwv]$/ {
        if ($3 in home && home[$3] != $1 && $3 ~ /^tr_/) {
            print $1 "/" $4 ": defines " $3 ", and so does " home[$3]
            faults++
        }
        home[$3] = $1
    }
    END {
        for (i = 1; i <= total; i++) {
            if (kind[i] !~ /^[Uwv]$/)
                continue
            where = layer_of[i] "/" member[i] ": "
            if (name[i] ~ /^tr_/ && !(name[i] in home)) {
                print where "calls " name[i] ", which no layer defines"
                faults++
            } else if (name[i] ~ /^tr_/ && index(below[layer_of[i]], " " home[name[i]] " ") == 0) {
                print where "calls " name[i] " of " home[name[i]] ", but " layer_of[i] " may call only:" below[layer_of[i]]
                faults++
            } else if (!(name[i] in home) && name[i] in inexact) {
                print where "calls " name[i] ", whose last bits differ from machine to machine (see base/fmath.h)"
                faults++
            } else if (name[i] == "exit" || name[i] == "_exit" && member[i] != "process.c.o") {
                print where "calls " name[i] ": a library returns a status, the program ends"
                faults++
            }
        }
        if (faults) {
            print "house: " faults " faults"
            exit 1
        }
        print "house: " total " names keep the arrows"
    }' "$work/symbols"
