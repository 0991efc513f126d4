#!/bin/sh
# trine plan: a run is priced in words and as JSON, a model that does not fit is an answer, bad input is said.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
trine=$TRINE_BIN
plan="$trine plan --model gpt3-175b --system dgx-h100 --chips 1024 --tokens 300B"
layout=tp=8,pp=16,vpp=6,mb=1,zero=1,sp,recompute=selective

expect 0 "gpt3-175b (174.6 B parameters) on 1024 x NVIDIA H100 SXM5 80GB (dgx-h100)" $plan --layout $layout
for word in "step " "MFU " "matrix products" "stage 0, the heaviest, of 80 GiB" "chip-hours" "on_demand" "spot" "failures" \
    "checkpoints" "Wh at " "t CO2e" "limited by " "network bandwidth"; do
    grep -qF -e "$word" stdout || fault "a plan does not say: $word"
done
expect 0 '"feasible": true,' $plan --layout $layout --json
grep -qF '"energy_kwh": ' stdout || fault "the JSON has no energy"
expect 0 'mxfp8' $trine plan --model llama3-70b --system dgx-b200 --chips 64 --tokens 1T --precision mxfp8 --layout tp=4,mb=1,zero=1,sp,pp=4

expect 0 " of the mxfp8 peak (80 % interval" $trine plan --model llama3-70b --system dgx-b200 --chips 64 --tokens 1T --precision mxfp8 --layout tp=4,mb=1,zero=1,sp,pp=4
expect 0 "priced as if megatron-core did zero3, which it does not" $plan --layout tp=8,mb=1,zero=3,sp,recompute=full
expect 0 "; it may miss the deadline (up to 1.1 days)" $trine plan --model llama3-8b --system dgx-h100 --chips 2048 --tokens 1T --deadline 1d

# A lever does what a chip of the catalog with 10 % more does.
change_of() { grep -A 2 "\"of\": \"$1\"" as_is.json | sed -n 's/.*"change_10_percent_better": \([0-9.e-]*\).*/\1/p'; }
cat >better.yaml <<'END'
chips:
  faster: {like: h100-sxm, dense: {bf16: 1088.45TFLOP/s}}
  hotter: {like: h100-sxm, tdp: 770W}
  fed: {like: h100-sxm, memory_bandwidth: 3.685TB/s}
systems:
  dgx-faster: {like: dgx-h100, chip: faster}
  dgx-hotter: {like: dgx-h100, chip: hotter}
  dgx-fed: {like: dgx-h100, chip: fed}
END
$plan --layout $layout --json >as_is.json
for better in "faster:matrix rate" "hotter:power of the chip" "fed:memory bandwidth"; do
    $trine plan --model gpt3-175b --system "dgx-${better%%:*}" --chips 1024 --tokens 300B --catalog better.yaml --layout $layout --json >better.json
    echo "$(sed -n 's/^ *"time_s": \([0-9.e-]*\),.*/\1/p' as_is.json better.json | tr '\n' ' ') $(change_of "${better#*:}")" |
        awk '{ off = $2 / $1 - 1 - $3; exit !(NF == 3 && $3 < -.001 && off < 1e-4 && off > -1e-4) }' || fault "10 % more ${better#*:} is not what its lever says"
done

# Interleaved chunks of one and of two layers: the price is said to be too low; of equal ones nothing is said.
chunks="$trine plan --model llama3.1-405b --system dgx-h100 --chips 1024 --tokens 1T --layout tp=8,cp=2,pp=8,mb=1,sp,zero=1"
expect 0 "wait for one another; walked through pass by pass the step takes 3." $chunks,vpp=13
expect 1 "layout tp8 cp2 pp8 vpp8 dp8" $chunks,vpp=8 # needs more memory
! grep -q "pass by pass" stdout || fault "equal chunks are said to wait for one another"

# The best of all layouts, of those with some words, of several numbers of chips.
expect 0 " legal layouts: " $plan
grep -qF "layout chosen again" stdout || fault "a search does not choose again for levers"
grep -qF "fastest layouts" stdout || fault "a search does not say what came next"
grep -q "^of each way to divide the chips .* the fastest layout; .* of the 256 fastest are left out" stdout || fault "a search does not say what is left out"
grep -q "limit: global_batch; with twice as many sequences .* % less time for as many tokens, with" stdout || fault "the batch is no limit"
grep -qF "reserved_1y: one offer, 2024-12: aws p5.48xlarge; older, and dearer than on_demand" stdout || fault "a price that nobody would pay is not said to be"
expect 0 "layout tp8 " $plan --layout auto,tp=8,sp,zero=1
expect 0 "nothing else is as fast for as few dollars" $plan --layout auto,tp=8,sp,zero=1 --chips 256..1024 --deadline 30d
expect 0 '"front_of_time_and_memory": [' $plan --layout auto,tp=8,sp,zero=1 --json
expect 1 "chips are the fewest that fit" $plan --layout auto,tp=8,sp,zero=1 --chips 8
[ ! -s stderr ] || fault "an answer of no says something on standard error"
expect 2 'in a range the smaller number first' $plan --chips 1024..256
expect 2 '--chips: "many": expected a number such as 1024, or a range such as 256..4096' $plan --chips many
expect 2 '"256.."' $plan --chips 256..
expect 2 'open layouts only' $plan --chips 256..1024 --layout $layout

# What is said of an open layout shows in what is found, or is refused.
expect 0 " recompute=full recompute-layers=3" $plan --layout auto,recompute-layers=3,pp=8,vpp=1
expect 2 "recompute-layers=3 is of recompute=full, and recompute is selective" $plan --layout auto,recompute=selective,recompute-layers=3
expect 0 "layout tp2 dp32 mb1 sp zero1" $trine plan --model llama3-8b --system dgx-h100 --chips 64 --tokens 1T --layout auto,sp
expect 0 "shard8" $trine plan --model llama3-8b --system dgx-h100 --chips 64 --tokens 1T --layout auto,shard=8
expect 2 'sp cuts tokens over the tp ranks, and tp is 1' $plan --layout auto,sp,tp=1
expect 2 'shard 8 needs zero 1, 2 or 3' $plan --layout auto,shard=8,zero=0
expect 2 '"pp=0": expected 1 or more' $plan --layout auto,pp=0

# Of layouts that are alike in time the one that surely fits; the faster one is named. Where that costs more, what surely fits is named.
expect 0 "GiB may not fit: within 2 %, where predictions do not tell which is faster, what surely fits is preferred" $plan
expect 0 "it may not fit; surely fits tp8 pp8 " $trine plan --model gpt3-175b --system dgx-h100 --chips 64 --tokens 300B
grep -q "^tp8 .* GiB  may not fit$" stdout || fault "a list of layouts does not say what may not fit"
expect 0 "? may not fit" $plan --chips 64..1024
grep -q "^  ?\|^ \*? " stdout || fault "a number of chips on which the layout may not fit has no mark"
expect 0 '"may_not_fit": true' $trine plan --model gpt3-175b --system dgx-h100 --chips 64 --tokens 300B --json

# Between the doublings, and beyond them.
expect 0 " on 384 x NVIDIA H100" $plan --chips 256..1024 --deadline 20d
expect 1 "more than the deadline of 5 days; 1536 chips would do: " $plan --deadline 5d
expect 1 "; of the numbers of chips that were tried, 1 to 1024, none would do" $plan --budget 1k

# What must be above 0.
for zero in "--tokens 0" "--tokens 1B --deadline 0s" "--tokens 1B --budget 0" "--target-loss 0" "--tokens 1B --seq-len 0"; do
    expect 2 'expected a value from ' $trine plan --model gpt3-175b --system dgx-h100 --chips 1024 $zero
done
expect 2 '--global-batch: "0": expected 1 or more' $plan --global-batch 0
expect 2 '--chips: "0": expected 1 or more' $plan --chips 0
expect 2 '--chips: "0..64": expected 1 or more' $plan --chips 0..64

# A target loss: its law is in the words, the page and the numbers of explain.
loss="$trine plan --model llama3-8b --system dgx-h100 --chips 64 --target-loss 2.1 --layout tp=2,mb=1,zero=1,sp"
expect 0 "with the law's error" $loss -o loss.yaml --report loss.html
sed "s/$(printf '\302\240')/ /g" loss.html >plain.html # numbers and units stay on one line there
grep -q "loss 2.1 takes .* tokens, .* (80 % interval), by Chinchilla" plain.html && grep -q "exponent of tokens" plain.html || fault "the page does not say the target loss"
expect 0 "loss with endless data" $trine explain loss.yaml tokens
expect 0 "by Chinchilla" $trine explain loss.yaml tokens
expect 0 "most tokens" $trine explain loss.yaml tokens
expect 0 "tokens" $trine explain loss.yaml

# One batch can be more than was asked for.
expect 0 "10 M tokens in 1 step of 100000 sequences of 2048 tokens (204.8 M, more than was asked for); " $trine plan --model gpt3-175b --system dgx-h100 --chips 1024 --tokens 10M --global-batch 100000

# The answer is no.
expect 1 "no: needs " $plan --layout tp=8,mb=1,zero=1,sp
expect 1 '"feasible": false,' $plan --layout tp=8,mb=1,zero=1,sp --json
expect 1 "has 60 GiB without the reserve" $plan --layout tp=8,mb=1,zero=1,sp --reserve 20GiB
expect 1 "more than the deadline of 1 day" $plan --layout $layout --deadline 24h
expect 1 "more than the budget of 1 k\$" $plan --layout $layout --budget '$1000'
expect 1 "more than the budget of 1 k\$" $plan --layout $layout --budget 1k
expect 1 "more than the deadline of 1 day; costs " $plan --layout $layout --deadline 24h --budget 1k

# Names.
expect 2 'did you mean gpt3-175b?' $trine plan --model gpt3-157b --system dgx-h100 --chips 8 --tokens 1B --layout mb=1
expect 2 'did you mean dgx-h100?' $trine plan --model gpt3-175b --system dgx-h10 --chips 8 --tokens 1B --layout mb=1
expect 2 'did you mean megatron-core?' $plan --layout $layout --stack megatron-cor
expect 2 'unknown precision "bf61"' $plan --layout $layout --precision bf61
expect 2 'did you mean france?' $plan --layout $layout --region frnace
expect 2 '--pay' $plan --layout $layout --pay later

expect 2 'nobody trains in int8' $plan --precision int8
expect 2 'the catalog calls that model llama3-8b' $trine plan --model meta-llama/Llama-3-8B --system dgx-h100 --chips 8 --tokens 1T

expect 0 'longer than the 8192 positions of the model' $trine plan --model llama3-8b --system dgx-h100 --chips 8 --tokens 1T --seq-len 16384 --layout auto,tp=8

# Prices of a year before all of them.
expect 0 'no price of dgx-h100 on_demand is as old as 1999: the first is of 20' $plan --layout $layout --prices-of 1999
expect 2 'a budget needs a price, and no price of dgx-h100 on_demand is as old as 1999' $plan --layout $layout --prices-of 1999 --budget 1M
expect 2 '"2025-13" is no date' $plan --layout $layout --prices-of 2025-13

# Layouts that do not divide: what, and what would.
expect 2 'ep 5 does not divide the 8 experts; 4 or 8 would' $trine plan --model mixtral-8x7b --system dgx-h100 --chips 48 --tokens 1T --layout ep=5,mb=1
expect 2 'no layout is legal: ep 5 does not divide the 8 experts' $trine plan --model mixtral-8x7b --system dgx-h100 --chips 48 --tokens 1T --layout auto,ep=5
expect 2 'none divides the global batch of 1536 sequences; 992 or 1008 chips would do, or 1535 or 1540 sequences' $trine plan --model gpt3-175b --system dgx-h100 --chips 1000 --tokens 300B
expect 2 '1024 chips are 1024 replicas of 1, which do not divide the 1536 sequences of the global batch; 768 or 1536 chips would, or 1024 sequences' $plan --layout mb=1
expect 2 '1008 or 1056 chips would' $plan --layout tp=3,pp=16
expect 2 'tp 64 does not divide the 96 heads; 48 or 96 would' $plan --layout tp=64
expect 2 'ep 8: gpt3-175b has no experts' $plan --layout ep=8,tp=8,pp=16
expect 2 'more than the 96 layers' $plan --layout pp=128,tp=8
expect 2 'unknown key "pipeline"' $plan --layout pipeline=8

# Contradictions.
expect 2 'dp 9 contradicts 1024 chips' $plan --layout tp=8,pp=16,dp=9
expect 2 'needs at least pp = 16 microbatches, there are 1' $plan --layout tp=8,pp=16,vpp=6,mb=1 --global-batch 8
expect 2 'sp' $plan --layout sp,pp=16,mb=1

# Units.
expect 2 'such as 30d' $plan --layout $layout --deadline 30
expect 2 '--tokens' $plan --layout $layout --tokens 300GB
printf 'chips:\n  x9: {like: h100-sxm, name: X9, memory: 80}\n' >unit.yaml
expect 2 'unit.yaml:2:42: chips.x9.memory: ' $plan --layout $layout --catalog unit.yaml
expect 2 'such as 80GiB' $plan --layout $layout --catalog unit.yaml

# A system of one's own, in ten lines.
cat >mine.yaml <<END
chips:
  x9: {like: h100-sxm, name: X9, memory: 160GiB, memory_bandwidth: 6TB/s}
systems:
  my-cluster: {like: dgx-h100, name: my cluster, chip: x9}
END
expect 0 'of 160 GiB' $plan --layout $layout --catalog mine.yaml --system my-cluster

# The plan as a file, and any number of it.
expect 0 "limited by" $plan --layout $layout -o plan.yaml
expect 0 "checkpoint interval" $trine explain plan.yaml
expect 0 "matrix products" $trine explain plan.yaml step
expect 0 "dense layer: up, forward" $trine explain plan.yaml "matrix products"
expect 0 "failures: lost and done again" $trine explain plan.yaml dollars
expect 0 '"terms": [' $trine explain plan.yaml memory/activations --json
expect 0 "evidence: assumed" $trine explain plan.yaml failures # the step's time is in it
expect 0 "weights x bytes.gradient of the stack" $trine explain plan.yaml memory/gradients
expect 0 "the middle one" $trine explain plan.yaml price
[ "$(grep -c '\$/h  stated' stdout)" -ge 8 ] || fault "a price does not cite its offers: $(cat stdout)"
for number in power goodput "time to save" "what would help" "dollars spot" "error of the step"; do
    expect 0 "evidence: " $trine explain plan.yaml "$number"
done
expect 2 'the plan has no number "dollers"; did you mean dollars?' $trine explain plan.yaml dollers
expect 2 'absent.yaml' $trine explain absent.yaml
expect 2 'WHAT' $trine explain
printf 'plan:\n  model: gpt3-175b\n  chip: 8\n' >wrong.yaml
expect 2 'wrong.yaml:3:3: plan.chip: unknown key' $trine explain wrong.yaml
sed 's/step_s: .*/step_s: 1.5/' plan.yaml >older.yaml
expect 0 'note: the plan says 1.5 s a step, this program and catalog ' $trine explain older.yaml step
expect 3 'no/such/plan.yaml' $plan --layout $layout -o no/such/plan.yaml
[ ! -s stdout ] || fault "an answer was printed although its file could not be written"
expect 0 'of 160 GiB' $plan --layout $layout --catalog mine.yaml --system my-cluster -o mine-plan.yaml
expect 2 'my-cluster' $trine explain mine-plan.yaml
expect 0 'made of' $trine explain mine-plan.yaml memory --catalog mine.yaml

# A page and a trace.
expect 0 "limited by" $plan --layout $layout --report plan.html --trace trace.json
[ "$(grep -c 'price of a chip-hour</td><td>on_demand: ' plan.html)" -ge 8 ] || fault "the page does not cite the offers of a price"
expect 0 '"median_of": [' $plan --layout $layout --json
grep -q '</main></body></html>' plan.html || fault "the page is not whole"
grep -q '"traceEvents":' trace.json || fault "the trace has no events"
expect 3 'no/such/plan.html' $plan --layout $layout --report no/such/plan.html
expect 3 'no/such/trace.json' $plan --layout $layout --trace no/such/trace.json
done_all
