#!/bin/sh
# Faults among ranks that mpirun starts: who is killed is named and the others end; who is stopped is found by the watchdog; who is
# slow is named and not killed; `trine launch` starts what died again, on fewer ranks if it is told so. The hash is always that of
# the run that nothing happened to. A few tries of each; with TRINE_FAULT_TABLE many, and rows of docs/faults.md.
. "${TRINE_SOURCE_DIR:?}/tests/mpi/lib.sh"

seed=12345
random() { seed=$(((seed * 1103515245 + 12345) & 2147483647)) && at=$((seed / 65536 % $1)); } # LIMIT: sets $at

# $child ends within 20 s, with one of these statuses, and says this (a pattern) in a sentence, which is trine's only one; else $wrong
# says why.
must_end() # STATUS|STATUS PATTERN
{
    wrong=
    end_of "$child"
    [ "$took" -lt 200 ] || wrong="not ended after 20 s"
    echo "$status" | grep -qxE "$1" || wrong="$wrong; status $status, not $1"
    [ "$(grep -c 'trine: ' said)" -le 1 ] && grep -qE "$2" said || wrong="$wrong; does not say once: $2"
    [ -z "$wrong" ] || { echo "$wrong"; cat said; }
}
arrives() # RUN: goes on to the right hash, on one rank
{
    "$trine" train run.yaml -o "$1" -q >went 2>&1 && [ "$(the_hash "$1")" = "$hash" ] || fault "$1 goes on to another hash: $(cat went)"
}

sed -i 's/steps: 24/steps: 1000/; s/every: 8,/every: 1000,/; s/checkpoint: {every: 4}/checkpoint: {every: 50}/; s/log_every: 8/log_every: 100/; s/lanes: 4/lanes: 4, tensor: 2/' run.yaml
expect 0 "hash" "$trine" train run.yaml -o whole -q
hash=$(the_hash whole)

# ---- killed: any rank, at any time, under layouts in turn -------------------------------------------------------------
tried=0 right=0 wanted=$(tries 4 300)
while [ "$tried" -lt "$wanted" ]; do
    case $((tried % 8)) in
        0) ranks=4 layout=dp=4,zero=1 ;;
        1) ranks=4 layout=pp=2,dp=2 ;;
        2) ranks=4 layout=dp=2,tp=2,zero=3 ;;
        3) ranks=2 layout=dp=2 ;;
        4) ranks=3 layout=dp=3,zero=1 ;;
        5) ranks=2 layout=tp=2,sp ;;
        6) ranks=2 layout=dp=2,zero=2 ;;
        7) ranks=2 layout=pp=2 ;;
    esac
    case $((tried % 2)) in 0) where=foreground ;; 1) where=background ;; esac
    before=$(last_line killed)
    start_mpi "$ranks" run.yaml -o killed -q --layout "$layout" --checkpoint.write "$where"
    until_more killed "$before"
    random 30 # hundredths of a second
    sleep "0.$((at / 10))$((at % 10))"
    random "$ranks"
    victim=$(rank_process "$at")
    if ! kill -9 "$victim" 2>/dev/null || grep -q '"event":"finish"' killed/events.jsonl; then # it was done before
        end_of "$child"
        [ "$(the_hash killed)" = "$hash" ] || fault "killed: another hash"
        rm -r killed
        continue
    fi
    tried=$((tried + 1))
    # mpirun says who died and how, 137, unless trine was faster: then it has 3 from the rank that said so.
    must_end "137|3" "trine: .* rank $at has died|process rank $at .* signal 9"
    [ -n "$wrong" ] || right=$((right + 1))
done
[ ! -e killed ] || arrives killed
row "2, 10" "kill -9 of one of 2 to 4 ranks at a random time, another layout each time (dp, tp, pp, zero 0 to 3), saves in the foreground and the background" "a timer, again and again until the run arrives" \
    "$tried" "$right" "\`rank 0: all_reduce of group dp, step 12: rank 1 has died, which last ended ...\`; mpirun ends with 137 or 3"

# ---- stopped: a rank that hangs ----------------------------------------------------------------------------------------
tried=0 right=0 wanted=$(tries 1 8)
while [ "$tried" -lt "$wanted" ]; do
    rm -rf hung
    start_mpi 4 run.yaml -o hung -q --timeout 2s
    until_more hung ""
    at=$((tried % 4))
    kill -STOP "$(rank_process "$at")"
    tried=$((tried + 1))
    must_end 3 "trine: .* nothing for 2 s from .*(rank $at \\(its process was stopped\\)|the process of rank $at was stopped)"
    [ -n "$wrong" ] || right=$((right + 1))
done
arrives hung
row 11 "a rank that hangs" "SIGSTOP to each of 4 ranks in turn, \`--timeout 2s\`" "$tried" "$right" \
    "\`rank 0: all_reduce of group dp, step 31: nothing for 2 s from rank 1 (its process was stopped), which is in ...\`, exit status 3"

# ---- slow: a rank that is stopped most of the time, of a model whose steps are mostly work, not waiting --------------------
larger="--model.name=tiny-gpt2 --data.seq_len=64 --train.steps=300 --run.log_every=10"
expect 0 "hash" "$trine" train run.yaml -o larger -q $larger
tried=0 right=0 wanted=$(tries 1 4)
while [ "$tried" -lt "$wanted" ]; do
    rm -rf slow
    at=$((tried % 2))
    start_mpi 2 run.yaml -o slow -q $larger
    until_more slow ""
    victim=$(rank_process "$at")
    # Beside other programs the other rank may be slow by itself for a moment, which is said too.
    while alive "$child" && ! grep -q "\"straggler\",\"text\":\"rank $at is slow" slow/events.jsonl; do
        kill -STOP "$victim" 2>/dev/null
        sleep 0.09
        kill -CONT "$victim" 2>/dev/null
        sleep 0.01
    done
    end_of "$child"
    [ "$status" = 0 ] || { fault "the slow run ended with $status"; cat said; }
    tried=$((tried + 1))
    [ "$(the_hash slow)" = "$(the_hash larger)" ] && grep -q "\"straggler\",\"text\":\"rank $at is slow: its work takes" slow/events.jsonl && right=$((right + 1)) ||
        cat slow/events.jsonl
done
row 12 "a rank that is slow" "SIGSTOP for nine tenths of the time" "$tried" "$right" \
    "\`rank 1 is slow: its work takes 9.8 times as long as the median rank's ..., and all wait for it\`; the run goes on"

# ---- started again by itself --------------------------------------------------------------------------------------------
# The second attempt finds two ranks less, as a script of the user's may find hosts that are left.
cat >hosts.sh <<END
if [ -e died ]; then ranks=2; else ranks=4; fi
exec $many \$ranks "\$@"
END
tried=0 right=0 wanted=$(tries 1 6)
while [ "$tried" -lt "$wanted" ]; do
    rm -rf again died
    "$trine" launch run.yaml --by "sh hosts.sh" --pause 0.1s --run.out=again >said 2>&1 &
    child=$!
    for _ in $(seq 3000); do ls again/step-*/manifest.json >/dev/null 2>&1 && break; sleep 0.01; done
    random 4
    started=$(pgrep -P "$child" | head -n 1)
    touch died
    kill -9 "$(pgrep -P "$started" | sort -n | sed -n "$((at + 1))p")"
    end_of "$child"
    tried=$((tried + 1))
    [ "$status" = 0 ] && [ "$(the_hash again)" = "$hash" ] && grep -q '"event":"resume"' again/events.jsonl &&
        grep -q '2 ranks, processes of this host' said && right=$((right + 1)) || { echo "status $status"; cat said; }
done
row "2, 9" "the same under \`trine launch --by\`, which goes on by itself on the two ranks that are left" "kill -9 of one of 4 ranks" "$tried" "$right" \
    "\`launch: attempt 1 was ended by signal 9\`, \`again in 2 s\`, \`resumed from RUN/step-N\`"
expect 2 "trine launch run.yaml --by \"mpirun -n 2\"" $many 2 "$trine" launch run.yaml
done_all
