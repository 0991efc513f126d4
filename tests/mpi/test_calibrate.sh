#!/bin/sh
# What exchanging bytes takes processes is added to a profile, once for each number of them, and runs under mpirun are predicted by it;
# a profile that somebody has edited stays as it was.
. "${TRINE_SOURCE_DIR:?}/tests/mpi/lib.sh"

# On a machine whose bursts differ too much it refuses, and should be asked again.
for _ in 1 2 3 4 5; do
    "$trine" calibrate -q --scale .05 >made.txt 2>said && break
    grep -q "something else is at work here" said || break
    sleep 2
done
[ -f profile.yaml ] || { grep -q "something else is at work here" said && echo "skipped: $(cat said)" && exit 77; }
[ -f profile.yaml ] || fault "no profile: $(cat said)"
cp profile.yaml before.yaml
ranks() { timeout 300 $many 2 "$trine" calibrate --ranks --scale .05 "$@"; }

# Sections in another order: the record would be an entry of the wrong one. The last line without its end: that is put there.
{
    sed '/^kernels:/,$d' before.yaml
    sed -n '/^exchanges:/,$p' before.yaml
    sed -n '/^kernels:/,/^exchanges:/p' before.yaml | sed '$d'
} >turned.yaml
cp turned.yaml turned.was
expect 2 "turned.yaml is not as \`trine calibrate\` writes it, so it is left alone" ranks -o turned.yaml
cmp -s turned.yaml turned.was || fault "a profile was spoilt"
printf %s "$(cat before.yaml)" >profile.yaml
expect 0 "profile.yaml: what exchanging bytes takes 2 ranks of mpi was added" ranks
[ "$(grep -c '^    transport: mpi' profile.yaml)" = 1 ] || fault "no record of mpi"
expect 2 "has a record of 2 ranks of mpi already: --force replaces it" ranks
cp profile.yaml once.yaml
expect 0 "profile.yaml: what exchanging bytes takes 2 ranks of mpi was replaced" ranks --force
[ "$(grep -c '^    transport: mpi' profile.yaml)" = 1 ] || fault "not one record of mpi"
cmp -s profile.yaml once.yaml && fault "nothing was measured again"
sed 's/^    transport: mpi$/& # by hand/' once.yaml >edited.yaml
expect 2 "edited.yaml: the record of these ranks is not as \`trine calibrate\` writes it, so it is left alone" ranks --force -o edited.yaml
expect 2 "none.yaml: cannot be opened" ranks -o none.yaml
expect 2 "Open MPI's mpirun starts 2 processes, and one measures a machine" timeout 60 $many 2 "$trine" calibrate -q -o copies.yaml
once_said "trine: "
[ ! -e copies.yaml ] || fault "two copies wrote a profile"
expect 0 "hash" mpi 2 -o two
grep -q "^predicted .* a step of all ranks +- .* (profile.yaml.*, measured in 0.05 of the usual time)" stderr || fault "nothing was predicted: $(cat stderr)"
done_all
