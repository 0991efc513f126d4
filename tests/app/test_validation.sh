#!/bin/sh
# docs/validation: runs.md and runs.csv are one table, and what rows.csv has of each run adds up to it. What README.md and operators.md say of
# operations is what the fits do.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
docs=$TRINE_SOURCE_DIR/docs/validation

# The cells of a CSV file without their quotes, tabs between them.
cells() {
    awk '{
        for (rest = "," $0; rest != ""; rest = substr(rest, RLENGTH + 1)) {
            match(rest, /^,("([^"]|"")*"|[^,]*)/)
            cell = substr(rest, 2, RLENGTH - 1)
            if (cell ~ /^"/) { cell = substr(cell, 2, length(cell) - 2); gsub(/""/, "\"", cell) }
            printf "%s%s", rest == "," $0 ? "" : "\t", cell
        }
        print ""
    }' "$1"
}
cells "$docs/rows.csv" | sed 1d >rows
cells "$docs/runs.csv" | sed 1d >lines
[ "$(wc -l <lines)" -gt 100 ] || fault "runs.csv has hardly a line"

# Chip, what and source of a line: how many rows, how many with a prediction, their mean error.
awk -F '\t' 'FILENAME == "rows" { label = $3 "\t" $4 "\t" $5; rows[label]++; if ($12 == "") { priced[label]++; sum[label] += $8 < 0 ? -$8 : $8 } }
    FILENAME == "lines" {
        label = $1 "\t" $2 "\t" $3
        off = priced[label] ? sum[label] / priced[label] - $6 : 0
        if (rows[label] != $4 || priced[label] + 0 != $5 || off > .00011 || off < -.00011) print label ": not what its rows in rows.csv add up to"
        delete rows[label]
    }
    END { for (label in rows) print label ": rows of rows.csv that no line of runs.csv sums up" }' rows lines >wrong
[ ! -s wrong ] || fault "$(cat wrong)"

# The same lines in the same order, shares in percent: of the page the last eleven words without their signs, and those before them.
awk '/^-----/ { rules++ } /^[^-]/ && rules == 1 {
        gsub(/ %/, "")
        line = $1
        for (i = 2; i <= NF; i++) line = line (i > NF - 11 ? "\t" : " ") $i
        print line
    }' "$docs/runs.md" >page
paste lines page | awk -F '\t' '
    function same(share, printed) { return share == "" ? printed == "-" : printed - 100 * share < .0551 && 100 * share - printed < .0551 }
    { label = $1 " " $2 " " $3
      gsub(/ +/, " ", label)
      wrong = label != $15 || $4 != $16 || $11 != $23 || ($12 == "" ? "-" : $12) != $24 || !same($4 ? $5 / $4 : 0, $17)
      for (i = 6; i <= 10; i++) wrong += !same($i, $(i + 12))
      if (wrong || !same($13, $25) || !same($14, $26)) print label ": runs.md has another line there" }' >wrong
[ ! -s wrong ] || fault "$(cat wrong)"
sh "$TRINE_SOURCE_DIR/scripts/operations.sh" "$TRINE_SOURCE_DIR/catalog/fits/measured.yaml" >operations
[ "$(wc -l <operations)" -gt 10 ] || fault "scripts/operations.sh finds hardly a chip"
sed -n '/^<!-- operations, made by make validate -->$/,/^<!-- end -->$/p' "$TRINE_SOURCE_DIR/README.md" | grep '^|' | diff operations - ||
    fault "README.md has other errors of operations than catalog/fits/measured.yaml: make validate"
sed '/^## /,$d' "$docs/operators.md" | grep '^|' | diff operations - || fault "docs/validation/operators.md has other errors: make validate"
done_all
