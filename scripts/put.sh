# For scripts that write a part of a page: what stands in PAGE between the line "<!-- NAME -->" and the next "<!-- end -->".
#
#     put PAGE NAME <LINES
put() {
    cat >"$1.lines"
    awk -v lines="$1.lines" -v begin="<!-- $2 -->" '
        $0 == begin { print; inside = 1; while ((getline line <lines) > 0) print line }
        /^<!-- end -->$/ { inside = 0 }
        !inside' "$1" >"$1.tmp"
    rm "$1.lines"
    mv "$1.tmp" "$1"
}
