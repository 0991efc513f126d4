#!/bin/sh
# A machine is measured, its profile is read back, a run is predicted by it; what is not this machine's is not used.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"

i=0
while [ $i -lt 300 ]; do echo "over the night the sea and the stone of light $i"; i=$((i + 1)); done >book.txt
any="$TRINE_BIN train book.txt -s 3 --data.seq_len=16 --train.batch=8 --eval.windows=2 --sample.tokens=0 --resume never"
train="$any -d 1"

# On a machine whose bursts differ too much it refuses, and should be asked again.
for _ in 1 2 3 4 5; do
    "$TRINE_BIN" calibrate -q --scale .05 -o quiet.yaml >made.txt 2>said && break
    grep -q "something else is at work here" said || break
    sleep 2
done
[ -f quiet.yaml ] || { grep -q "something else is at work here" said && echo "skipped: $(cat said)" && exit 77; }
grep -q "steps of programs that a fit had not seen: four of five within" made.txt || fault "it says: $(cat made.txt said)"
mv quiet.yaml profile.yaml || fault "no profile: $(cat said)"
grep -q "scale: 0.05" profile.yaml && grep -q "noise_disk: " profile.yaml || fault "the profile does not say how it was measured"
grep -q "^kernels:" profile.yaml || fault "no kernels in the profile"
grep -q "^      linear: {.*few: [0-9.e+]*B/s, " profile.yaml || fault "tokens that are written one by one were not measured"
"$TRINE_BIN" show chip "$(sed -n 's/^    chip: //p' profile.yaml | head -n 1)" --catalog profile.yaml >chip.txt 2>&1 ||
    fault "trine show does not take the profile: $(cat chip.txt)"
expect 2 "profile.yaml is there already" "$TRINE_BIN" calibrate -q
# A machine at work may be slower than it was, so either answer is right; both are about this profile.
"$TRINE_BIN" calibrate --check >checked.txt 2>&1
[ $? -le 1 ] && grep -q "^profile.yaml" checked.txt && grep -q "  it was measured in 0.05 of the usual time (--scale)" checked.txt || fault "--check: $(cat checked.txt)"

# shellcheck disable=SC2086 # the command is words
expect 0 "predicted   " $train -o run
grep -q "^predicted .* a step +- .* (profile.yaml.*, measured in 0.05 of the usual time)" stderr || fault "nothing was predicted beforehand: $(cat stderr)"
grep -q "^predicted .*, with 2 evaluations and 1 checkpoint in .* +- .* (profile.yaml.*, measured in 0.05 of the usual time)" stderr || fault "no end was predicted: $(cat stderr)"
grep -q "^predicted .* a step +- .*; it took .*side .*the interval; the run .* +- .*, took .*side .*the interval" stdout || fault "nothing was compared: $(cat stdout)"
# Of a run that goes on neither the prediction nor what it is held against is of what went before, and both say so.
cp -r run goes-on
expect 0 "; the rest of 4 steps " "$TRINE_BIN" train book.txt -s 7 --data.seq_len=16 --train.batch=8 --eval.windows=2 --sample.tokens=0 -d 1 \
    --resume auto -o goes-on
grep -q "^predicted .* a step +- .*, the last 4 of 7 steps in .*, with 1 evaluation and 1 checkpoint in .* +- .* (profile.yaml" stderr ||
    fault "the rest was not predicted as such: $(cat stderr)"
# shellcheck disable=SC2086
expect 0 '"predicted_step_s":' $train -o run2 --json --sample.tokens=8
grep -q "^predicted .*, with 2 evaluations, 1 sample and 1 checkpoint in .* +- .* (profile.yaml.*, measured in 0.05 of the usual time)" stderr || fault "no sample was predicted: $(cat stderr)"
grep -q '"predicted_run_s":.*"predicted_run_error":' stdout || fault "no end was predicted: $(cat stdout)"

# The plan without a text is that of the run with one: the same program at the same rates.
# A plan is for cores as near as when they were calibrated; a run for where they are when it begins.
sed 's/hand_apart: .*/hand_apart: 0s/' profile.yaml >near.yaml
plan="$TRINE_BIN plan --model tiny-gpt2 --system near.yaml"
here="--tokens 384 --seq-len 16 --global-batch 8"
number() { sed -n "s/.*\"$1\": *\([0-9.e+-]*\).*/\1/p" stdout | head -n 1; }
# shellcheck disable=SC2086
expect 0 '"layout":"dp=1","micro_batch":8,"recompute":"elementwise"' $any --model.name=tiny-gpt2 --micro-batch 8 --dry-run --json -o run5 --profile near.yaml
said=$(number predicted_step_s)
# shellcheck disable=SC2086
expect 0 '"feasible": true' $plan $here --json
[ -n "$said" ] && [ "$said" = "$(number time_s)" ] || fault "train predicts $said a step, plan $(number time_s)"
# shellcheck disable=SC2086
expect 0 "tokens in 3 steps of 8 sequences of 16 tokens" $plan $here
# shellcheck disable=SC2086
expect 0 "10 tokens in 1 step of 8 sequences of 16 tokens (128, more than was asked for)" $plan --seq-len 16 --global-batch 8 --tokens 10
cp near.yaml near.yml
# shellcheck disable=SC2086
expect 0 "tokens in 3 steps of 8 sequences of 16 tokens" $plan $here --system near.yml
# shellcheck disable=SC2086
expect 1 "more than the deadline" $plan $here --deadline 1us
# shellcheck disable=SC2086
expect 2 "--stack is for systems of the catalog" $plan $here --stack fsdp
# shellcheck disable=SC2086
expect 2 "context=ring is planned (trine plan), not executed yet" $plan $here --layout cp=2,context=ring
# shellcheck disable=SC2086
expect 0 "tokens in 3 steps of 8 sequences of 16 tokens" $plan $here -o here.yaml
expect 0 "step: " "$TRINE_BIN" explain here.yaml step
if grep -q . stderr; then fault "a plan that was just written is priced differently: $(cat stderr)"; fi
expect 0 '"name": "beside the program"' "$TRINE_BIN" explain here.yaml memory --json
expect 2 "the plan has no number" "$TRINE_BIN" explain here.yaml dollars
expect 2 "is of the machine of near.yaml" "$TRINE_BIN" explain here.yaml --catalog near.yaml
# shellcheck disable=SC2086
expect 0 "loss 25 takes " $plan --seq-len 16 --global-batch 8 --target-loss 25
# shellcheck disable=SC2086
expect 2 "is 1 chip" $plan $here --chips 2
# shellcheck disable=SC2086
expect 2 "trine trains in fp32 and bf16" $plan $here --precision fp8
expect 2 "none.yaml: cannot be opened" "$TRINE_BIN" plan --model gpt2 --system none.yaml --tokens 1M
expect 2 "--chips is missing: how many" "$TRINE_BIN" plan --model gpt2 --system dgx-h100 --tokens 1B

# Ranks of this machine: what exchanging bytes takes is in the profile, so their steps are predicted and a layout can be chosen.
grep -q "^exchanges:" profile.yaml || fault "no exchanges in the profile"
# shellcheck disable=SC2086
expect 0 "predicted   " $train --layout.lanes=2 --layout dp=2 -o shared
grep -q "^predicted .* a step of all ranks +- .*, with 2 evaluations and 1 checkpoint in .* +- .* (profile.yaml.*, measured in 0.05 of the usual time)" stderr || fault "no end was predicted of ranks: $(cat stderr)"
grep -q "^predicted .* a step +- .*; it took .*side .*the interval; the run .* +- .*, took .*side .*the interval" stdout || fault "the end of ranks was not compared: $(cat stdout)"
hash=$(sed -n 's/^hash *\([0-9a-f]*\).*/\1/p' stdout)
# shellcheck disable=SC2086
expect 0 "$hash" $train --layout.lanes=2 --layout auto --micro-batch auto -o chosen
grep -q "^layout .* a step +- .*, as predicted; next " stderr || fault "no layout was chosen: $(cat stderr)"
# shellcheck disable=SC2086
expect 0 '"layout":"' $train --layout.lanes=2 --layout auto --dry-run --json -o chosen2
grep -q '"layout":"[^"]*","micro_batch":[0-9]*,"recompute":"[a-z]*"' stdout || fault "what auto chose is not in the JSON: $(cat stdout)"
mkdir none
expect 2 "--layout auto: there is no profile of this machine to choose by" sh -c "cd none && '$TRINE_BIN' train ../book.txt --layout auto"
cat >run.yaml <<END
data: {path: book.txt, seq_len: 16}
model: {depth: 1}
train: {steps: 3, batch: 8}
layout: {lanes: 2}
eval: {windows: 2}
sample: {tokens: 0}
END
expect 0 "$hash" "$TRINE_BIN" launch run.yaml --run.out=launched --layout auto --profile profile.yaml
grep -q "^layout .* a step +- .*, as predicted; next " stderr || fault "no layout was chosen for launch: $(cat stderr)"
expect 0 "$PWD/profile.yaml" "$TRINE_BIN" submit run.yaml --layout auto --profile profile.yaml --ntasks-per-node 2 --dry-run
expect 2 "a profile is of one machine, and the job has 2 nodes" "$TRINE_BIN" submit run.yaml --layout auto --nodes 2 --dry-run
expect 2 "no profile of this machine to choose by" sh -c "cd none && '$TRINE_BIN' launch ../run.yaml --data.path=../book.txt --layout auto"
expect 2 "mpirun -n 2 trine calibrate --ranks" "$TRINE_BIN" calibrate --ranks

expect 0 "calls, FLOPs and bytes of all operations are those of the step program" "$TRINE_BIN" explain run
expect 0 '"predicted_now_s": ' "$TRINE_BIN" explain run --json
expect 2 "a NUMBER is of a plan" "$TRINE_BIN" explain run step
expect 2 "--rank is of a run folder, and 'no-run' is none" "$TRINE_BIN" explain no-run --rank 1
expect 2 "--rank 0 is of the comparison, and --trace has all ranks" "$TRINE_BIN" explain run --rank 0 --trace all.json
expect 2 "run/profile.json: rank 1: the run had 1 rank, counted from 0" "$TRINE_BIN" explain run --rank 1
expect 2 "--catalog is of a plan" "$TRINE_BIN" explain run --catalog profile.yaml
expect 2 "--profile is of a run folder, and 'no-run' is none" "$TRINE_BIN" explain no-run --profile profile.yaml
# shellcheck disable=SC2086
expect 0 "hash" $any --model.name=tiny-gpt2 --layout.lanes=2 --layout dp=2 -t 1 --trace-steps 2 -o ranks
expect 0 "and bytes that ranks sent, are those of the step programs" "$TRINE_BIN" explain ranks
expect 0 '"predicted_wait_s": ' "$TRINE_BIN" explain ranks --json
expect 0 "collective, of rank 1" "$TRINE_BIN" explain ranks --rank 1
expect 0 "in which ranks wait for each other" "$TRINE_BIN" explain ranks --trace ranks.json

# What other programs did meanwhile, the tests beside this one, and where the host had moved the cores to, is not what is tested.
undisturbed()
{
    sed 's/"crowded_s": [0-9.e-]*/"crowded_s": 0/; s/"hand_s": [0-9.e-]*/"hand_s": 0/' "$1/profile.json" >ran.json && mv ran.json "$1/profile.json"
}

# Runs refine the profile: it says so, and so does what is predicted by it. Another machine's, or the same again, are refused.
cp profile.yaml fresh.yaml
for run in seen1 seen2; do
    # shellcheck disable=SC2086
    expect 0 "hash" $train -s 20 -o $run
    undisturbed $run
done
sed 's/"processor": .*/"processor": "Another One",/' seen2/profile.json >other.json && mv seen2/profile.json own.json && mv other.json seen2/profile.json
expect 2 "cores of Another One, and the profile is of " "$TRINE_BIN" calibrate --from seen1 seen2
mv own.json seen2/profile.json
expect 2 "which runs?" "$TRINE_BIN" calibrate --from
expect 2 "run folders go with --from" "$TRINE_BIN" calibrate seen1
expect 2 "--scale is of measuring anew, and --check is not" "$TRINE_BIN" calibrate --check --scale .5
expect 2 "--force is of measuring anew, and --from is not" "$TRINE_BIN" calibrate --from seen1 --force
expect 2 "--ranks: one process is here" "$TRINE_BIN" calibrate --ranks --force
cp seen2/profile.json own.json
sed 's/"crowded_s": .*/"crowded_s": 0.001,/; s/"steps_s": .*/"steps_s": 0.01,/; s/"first_step_s": .*/"first_step_s": 0.001,/' own.json >seen2/profile.json
expect 1 "seen2: left out: 10 % of the time of its steps other programs had cores that it wanted" "$TRINE_BIN" calibrate --from seen2
grep -q "^profile.yaml: left as it was: no run is left to learn from" stdout || fault "it says: $(cat stdout)"
if grep -q "^ *hand: [1-9]" profile.yaml; then # not measured where there is one core
    sed 's/"hand_s": .*/"hand_s": 0.001,/' own.json >seen2/profile.json
    expect 1 "seen2: left out: its cores were further apart (a line of a cache took 1000000 ns from one to another, and " "$TRINE_BIN" calibrate --from seen2
fi
mv own.json seen2/profile.json
cmp -s profile.yaml fresh.yaml || fault "a run that was refused changed the profile"
expect 0 "refined by 2 runs; a step +- " "$TRINE_BIN" calibrate --from seen1 seen2
expect 2 "seen1: the profile has learned from this run already" "$TRINE_BIN" calibrate --from seen1
"$TRINE_BIN" show chip "$(sed -n 's/^    chip: //p' profile.yaml | head -n 1)" --catalog profile.yaml >chip.txt 2>&1 &&
    grep -q "^linear .*  runs, 20" chip.txt && grep -q "^  runs: trine calibrate --from seen1 seen2$" chip.txt ||
    fault "which numbers are from runs is not shown: $(cat chip.txt)"
expect 0 "calibrated, refined by 2 runs to " "$TRINE_BIN" explain run
expect 0 "this run is among those: what is called predicted was learned from it too" "$TRINE_BIN" explain seen1
# shellcheck disable=SC2086
expect 0 "(profile.yaml, refined by 2 runs to " $train -o seen3

# Runs of ranks too; short steps beside other work may be too far off to be learned from, which is said.
# shellcheck disable=SC2086
expect 0 "hash" $train -s 20 --layout.lanes=2 --layout dp=2 --trace-steps 4 -o both
undisturbed both
if "$TRINE_BIN" calibrate --from both >stdout 2>stderr; then
    grep -q "^profile.yaml: 2 ranks by threads, refined by 1 run; a step +- " stdout || fault "nothing was learned of ranks: $(cat stdout)"
    expect 2 "both: the profile has learned from this run already" "$TRINE_BIN" calibrate --from both
    expect 0 "what they take together was calibrated, refined by 1 run to " "$TRINE_BIN" explain ranks
else
    grep -q "something else was at work" stderr || fault "a run of ranks was refused: $(cat stderr)"
fi

# The whole loop as one page; what it is made of is there and whole, or it is refused and nothing is written.
"$TRINE_BIN" plan --model llama3-8b --system dgx-h100 --chips 64 --tokens 1T --layout tp=2,mb=1,zero=1 -o plan.yaml >plan.txt 2>&1 ||
    fault "no plan: $(cat plan.txt)"
expect 0 "run/story.html" "$TRINE_BIN" report run plan.yaml --profile profile.yaml
grep -q "a step was predicted. It took .*</h1>" run/story.html || fault "the page has no headline"
grep -q "<h3>llama3-8b</h3>" run/story.html || fault "the page has no plan"
grep -q "$("$TRINE_BIN" hash run | cut -c1-64)" run/story.html || fault "the page has no hash"
rm run/story.html
expect 2 "none.yaml" "$TRINE_BIN" report run none.yaml --profile profile.yaml
expect 2 "is the profile of a machine" "$TRINE_BIN" report run here.yaml --profile profile.yaml
expect 2 "none.yaml" "$TRINE_BIN" report run plan.yaml --profile none.yaml
sed '/^answer:/q' plan.yaml >cut.yaml
expect 2 "cut.yaml: has no answer.step_s; it may have been cut short" "$TRINE_BIN" report run cut.yaml --profile profile.yaml
expect 2 "metrics.jsonl: no such file" "$TRINE_BIN" report . plan.yaml
[ ! -e run/story.html ] && [ ! -e story.html ] || fault "a page was written of files that are not whole"

sed 's/processor: .*/processor: "Another One"/' profile.yaml >other.yaml
expect 0 "note: other.yaml is of another machine or trine" "$TRINE_BIN" report run --profile other.yaml
expect 0 "note: other.yaml is of another machine or trine" "$TRINE_BIN" explain run --profile other.yaml
expect 0 '"profile_is_of_this_machine": true' "$TRINE_BIN" explain run --json
# It is the run's machine that a run's profile has to be of.
cp -r run elsewhere
sed 's/"processor": *"[^"]*"/"processor":"Another One"/' run/profile.json >elsewhere/profile.json
expect 0 "note: profile.yaml is of another machine or trine; the processor is Another One, the profile's was " "$TRINE_BIN" explain elsewhere
expect 0 "note: profile.yaml is of another machine or trine" "$TRINE_BIN" report elsewhere --profile profile.yaml
expect 0 "elsewhere/story.html" "$TRINE_BIN" report elsewhere plan.yaml # without a profile nothing is of another machine
expect 0 "" "$TRINE_BIN" explain elsewhere --profile other.yaml
grep -q "another machine" stderr && fault "run and profile are of one machine: $(cat stderr)"
expect 0 '"profile_differs": "other.yaml is of another machine or trine; the processor is ' "$TRINE_BIN" explain run --profile other.yaml --json
# shellcheck disable=SC2086
expect 0 '"profile_is_of_this_machine": false' "$TRINE_BIN" plan --model tiny-gpt2 --system other.yaml $here --json
# shellcheck disable=SC2086
expect 0 '"unpredicted":"other.yaml is of another machine or trine; the processor is ' $train -o run3 --profile other.yaml --dry-run --json
grep -q '"profile_is_of_this_machine":false' stdout || fault "the plan does not say whose profile it is: $(cat stdout)"
# shellcheck disable=SC2086
expect 0 "note: other.yaml is of another machine or trine; the processor is" "$TRINE_BIN" plan --model tiny-gpt2 --system other.yaml $here
# shellcheck disable=SC2086
expect 0 "no prediction: other.yaml is of another machine or trine; the processor is" $train -o run3 --profile other.yaml
sed 's/program: .*/program: "0.1.0, kernels 00000000"/' profile.yaml >older.yaml
# shellcheck disable=SC2086
expect 0 "the profile is of 0.1.0, kernels 00000000" $train -o run6 --profile older.yaml
expect 1 "likely a profile of another machine" "$TRINE_BIN" calibrate --check older.yaml
expect 2 "one profile with --check" "$TRINE_BIN" calibrate --check other.yaml older.yaml
expect 1 "the profile's was Another One" "$TRINE_BIN" calibrate --check other.yaml
sed 's/^    cores: .*/    cores: 777/; s/^    threads: .*/    threads: 777/' profile.yaml >larger.yaml
expect 1 "the profile's machine had 777" "$TRINE_BIN" calibrate --check larger.yaml
# shellcheck disable=SC2086
expect 2 "none.yaml" $train -o run4 --profile none.yaml
echo "kernels: {x: {chip: y, threads: two}}" >bad.yaml
expect 2 "bad.yaml:1:" "$TRINE_BIN" calibrate --check bad.yaml
expect 3 "/nowhere/p.yaml" "$TRINE_BIN" calibrate -o /nowhere/p.yaml
done_all
