#!/bin/sh
# The rules of the house that can be read from the sources: sources.sh ROOT
#
#   1  who may include whom:  app → plan → { cloud, lab } → silicon → base, and in silicon  { chip, kernel, coll } → op;
#      every "..." is a path from src/; no two modules include each other, not even by a detour
#   2  an outside library is included in one place: one file of src/base, or one module folder elsewhere
#   3  no `#ifdef HAVE_X`: what may be missing is a file of its own, chosen by the build
#   4  a module folder has a front header of its name, and a README.md (src/base and src/app: any header)
#   5  a header begins with a comment that says what it is for, and has an include guard, which no other has
#   6  no OpenMP reduction and no -ffast-math: the order of a sum is ours to say (docs/contract.md)
#   7  no file names the host of a package registry or mirror: where packages come from is the machine's affair
#
# A module is src/LAYER/X, or src/base, or src/app; folders below it belong to it. One line a fault, and exit 1.
set -u
export LC_ALL=C

cd "${1:?usage: sources.sh ROOT}" || exit 2
[ -d src ] || { echo "house: no folder src in $1" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
faults=$work/faults
: >"$faults"

find src -type f \( -name '*.c' -o -name '*.h' -o -name '*.inc' -o -name '*.cu' \) | sort >"$work/files"
[ -s "$work/files" ] || { echo "house: no source below src, so nothing was proved" >&2; exit 2; }

# shellcheck disable=SC2046 # no path of ours has a blank in it
awk -v edges="$work/edges" '
    function fault(text) { print FILENAME ":" FNR ": " text }
    function module_of(path,    part, count) {
        count = split(path, part, "/")
        if (part[1] == "base" || part[1] == "app" || count < 3)
            return part[1]
        return part[1] "/" part[2]
    }
    function layer_of(path) { sub(/\/.*/, "", path); return path }
    BEGIN {
        below["base"] = " base "
        below["silicon"] = " silicon base "
        below["cloud"] = " cloud silicon base "
        below["lab"] = " lab silicon base "
        below["plan"] = " plan cloud lab silicon base "
        below["app"] = " app plan cloud lab silicon base "
        # What the C library, the kernel and the compiler bring; every other <...> is an outside library.
        words = "aio assert complex ctype dirent dlfcn elf endian errno execinfo fcntl fenv float fnmatch ftw getopt glob"
        words = words " inttypes langinfo limits link locale malloc math memory netdb omp poll pthread pwd regex sched"
        words = words " semaphore setjmp signal spawn stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib"
        words = words " stdnoreturn string strings sysexits syslog termios threads time uchar ucontext unistd wchar"
        words = words " wctype cpuid"
        word_count = split(words, word, " ")
        for (i = 1; i <= word_count; i++)
            system_header[word[i] ".h"] = 1
    }
    function is_system(header) {
        return header in system_header || header ~ /^(sys|linux|asm|net|netinet|arpa|bits)\// || header ~ /intrin\.h$/ ||
            header ~ /^arm_[a-z]+\.h$/
    }
    FNR == 1 {
        inside = substr(FILENAME, 5) # the path from src/
        layer = layer_of(inside)
        module = module_of(inside)
        if (!(layer in below))
            fault("src/" layer " is no layer of the house")
        print module, module >edges
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, piece, "\"")
        path = piece[2]
        target = layer_of(path)
        if (path !~ /\// || path ~ /(^|\/)\.\.?\// || !(target in below)) {
            fault("includes \"" path "\": write the path from src/, as in \"base/err.h\"")
            next
        }
        if ((getline line <("src/" path)) < 0)
            fault("includes \"" path "\", which is not there")
        close("src/" path)
        if (index(below[layer], " " target " ") == 0)
            fault("includes \"" path "\", but " layer " may include only:" below[layer])
        from = module_of(path)
        if (module == "silicon/op" && target == "silicon" && from != "silicon/op")
            fault("includes \"" path "\", but silicon/op is below the rest of silicon")
        if (from != module)
            print module, from >edges
    }
    /^[ \t]*#[ \t]*include[ \t]*</ {
        split($0, piece, /[<>]/)
        header = piece[2]
        if (!is_system(header)) {
            library = header
            sub(/\/.*/, "", library)
            place = module == "base" ? FILENAME : "src/" module
            if (library in home && home[library] != place)
                fault("includes <" header ">, which belongs to " home[library] " alone")
            else
                home[library] = place
        }
    }
    /^[ \t]*#.*[^A-Za-z0-9_]HAVE_[A-Z]/ { fault("asks for a HAVE_ macro: make it a file of its own, chosen by the build") }
    /^[ \t]*#[ \t]*pragma[ \t]+omp[^\n]*reduction/ { fault("an OpenMP reduction adds in an order that nobody stated") }
' $(cat "$work/files") >>"$faults"

# Two modules that need each other are one module. tsort orders them, or names a ring.
sort -u "$work/edges" >"$work/order"
if ! tsort "$work/order" >/dev/null 2>"$work/ring"; then
    echo "src: these modules include each other in a ring:$(sed -n 's/^tsort: \([a-z].*\)/ \1/p' "$work/ring" |
        grep -v 'input contains' | sort | tr -d '\n')" >>"$faults"
fi

# Front headers and READMEs.
sed 's|/[^/]*$||' "$work/files" | awk -F / '{ print $2 == "base" || $2 == "app" || NF < 3 ? "src/" $2 : $1 "/" $2 "/" $3 }' |
    sort -u >"$work/modules"
while read -r module; do
    [ -f "$module/README.md" ] || echo "$module: no README.md that says why the module is as it is" >>"$faults"
    case $module in
    src/base | src/app) set -- "$module"/*.h ;;
    *) set -- "$module/${module##*/}.h" ;;
    esac
    [ -f "$1" ] || echo "$module: no front header ${1##*/}" >>"$faults"
done <"$work/modules"

# Opening comments and guards.
grep '\.h$' "$work/files" >"$work/headers"
while read -r header; do
    awk -v guards="$work/guards" '
        NF && !first { first = $0 }
        /^#[ \t]*ifndef/ && !guard { guard = $2; line = FNR }
        /^#[ \t]*define/ && guard && FNR == line + 1 && $2 == guard { guarded = 1 }
        /^#[ \t]*pragma[ \t]+once/ { once = 1 }
        END {
            if (first !~ /^\/[*\/]/)
                print FILENAME ": does not begin with a comment that says what it is for"
            if (once || !guarded)
                print FILENAME ": no include guard (#ifndef TR_..., #define TR_...)"
            else
                print guard, FILENAME >>guards
        }' "$header" >>"$faults"
done <"$work/headers"
[ ! -f "$work/guards" ] || sort "$work/guards" | awk '
    $1 == guard { print $2 ": has the include guard of " file ", " guard }
    { guard = $1; file = $2 }' >>"$faults"

# Every file of the tree, but what git, the builds and runs put there. The patterns do not match themselves.
hosts='(deb|snapshot|security|ftp[.a-z]*)[.]debian[.]org|(archive|security|ports)[.]ubuntu[.]com|(files[.])?pythonhosted[.]org'
hosts="$hosts|(test[.])?pypi[.]org|registry[.](npmjs|yarnpkg)[.][a-z]+|(static|index)[.]crates[.]io|proxy[.]golang[.]org"
hosts="$hosts|[a-z0-9-]+[.]pkg[.]dev|artifact[-]registry|jfrog[.]io|(docker|ghcr|quay)[.]io|://[^/@ \"']+:[^/@ \"']+@"
find . \( -name .git -o -path './build*' -o -path ./runs -o -path ./fuzz/corpus \) -prune -o -type f -print >"$work/all"
tr '\n' '\0' <"$work/all" | xargs -0 grep -IEn "$hosts" /dev/null | sed 's|^\./||; s|$| <- the host of a registry or mirror|' \
    >>"$faults"
grep -v '/sources\.sh$' "$work/all" | grep -E '(CMakeLists\.txt|\.cmake|Makefile|\.sh|\.json)$' | tr '\n' '\0' |
    xargs -0 grep -En -e '-f(fast-math|associative-math|unsafe-math-optimizations)' /dev/null |
    sed 's|^\./||; s|$| <- bits are the product here|' >>"$faults"

if [ -s "$faults" ]; then
    cat "$faults"
    echo "house: $(wc -l <"$faults" | tr -d ' ') faults"
    exit 1
fi
echo "house: $(wc -l <"$work/files" | tr -d ' ') sources in $(wc -l <"$work/modules" | tr -d ' ') modules keep the rules"
