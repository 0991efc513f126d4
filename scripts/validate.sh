#!/bin/sh
# Holds predictions against every table of measurements in a folder: scripts/validate.sh DIR
# Writes docs/validation/operators.md, a table of which README.md shows, and runs.md; of training runs also runs.csv, which is the table of runs.md, and rows.csv, which has
# each row (tests/app/test_validation.sh holds the three to each other). What a row's step and memory are made of, and each operation, goes
# into build/validation/TABLE.csv.
set -eu

dir=${1:-}
[ -d "$dir" ] || { echo "make validate TABLES=DIR: a folder with op_gemm.csv, op_attention.csv, op_collective.csv or train_runs.csv" >&2; exit 2; }
docs=docs/validation rows=build/validation
mkdir -p "$docs" "$rows"
. "${0%/*}/put.sh"
scripts/operations.sh catalog/fits/measured.yaml >"$rows/operations.md"
put README.md 'operations, made by make validate' <"$rows/operations.md"
{
    echo '# Predictions of single operations against published measurements'
    echo
    echo 'Written by `make validate TABLES=DIR` from the tables that the parameters were fitted to: in-sample figures, but for the'
    echo 'second of each pair in the first table, which is on groups held out (`catalog/fits/measured.yaml` has it by number format and'
    echo 'operation). Chips of other tables that the catalog does not have count as not covered.'
    echo
    cat "$rows/operations.md"
    for table in op_gemm op_attention op_collective; do
        [ -f "$dir/$table.csv" ] || continue
        printf '\n## %s\n\n' "$table"
        echo '```'
        build/release/trine validate "$dir/$table.csv" --csv "$rows/$table.csv"
        echo '```'
    done
} >"$docs/operators.md.tmp"
mv "$docs/operators.md.tmp" "$docs/operators.md"

[ -f "$dir/train_runs.csv" ] || exit 0
{
    echo '# Predictions of training runs against published ones'
    echo
    echo 'Written by `make validate TABLES=DIR` from the runs that the stacks were fitted to, and those that no fit has seen: the runs of'
    echo 'docs/published.md with their kin, and rows of which a part is assumed or the layout open (`catalog/stacks/fits.yaml` has the error on'
    echo 'groups held out beside each stack). Regret is that of the layout predicted fastest, in groups of three layouts and more that a source'
    echo 'measured of one run: how many groups, in how many of them it was within 1 % of the fastest, how much longer it took in the mean and at'
    echo 'worst. Below the table, of each pair of layouts of one run that are predicted within 2 % of each other, which plans take as alike, and'
    echo 'within twice that: in how many the one predicted faster was. The floor of each source stands there too: runs that it prints again, with'
    echo 'the same chips, software, model, batch and layout, differ by so much, and nothing that is predicted from what rows say can know by how'
    echo 'much. The same table as CSV is'
    echo '[runs.csv](runs.csv), what each row was predicted as [rows.csv](rows.csv) (columns: [measurements.md](../formats/measurements.md)).'
    echo
    echo '```'
    build/release/trine validate "$dir/train_runs.csv" --csv "$rows/train_runs.csv" --summary "$docs/runs.csv.tmp"
    echo '```'
} >"$docs/runs.md.tmp"
# The first twelve cells, of which any may stand in quotes.
cell='("([^"]|"")*"|[^,]*)'
sed -E "s/^(($cell,){11}$cell).*/\1/" "$rows/train_runs.csv" >"$docs/rows.csv.tmp"
for file in runs.md runs.csv rows.csv; do
    mv "$docs/$file.tmp" "$docs/$file"
done
